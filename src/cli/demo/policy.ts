/** The policy of the demo, as an operator would write it: four hosts, two stubs, one refusal with its reason. */
export const policy = `version: 1
agents:
  devbot: {from: [{cidr: 127.0.0.0/8}]}
credentials:
  github:
    {kind: bearer, stub: proxy-token-github, secret: {file: secrets/github}, hosts: [api.github.com, github.com]}
  claude:
    {kind: header, header: x-api-key, stub: sk-ant-stub, secret: {file: secrets/claude}, hosts: [api.anthropic.com]}
rules:
  - {id: no-deletion, effect: deny, hosts: [api.github.com], methods: [DELETE], reason: agents may not delete}
  - {id: github-api, hosts: [api.github.com], credentials: [github]}
  - {id: github-git, hosts: [github.com], git: {fetch: ["crew/*"], push: [crew/app]}, credentials: [github]}
  - {id: claude, hosts: [api.anthropic.com], credentials: [claude]}
  - {id: downloads, hosts: [codeload.github.com], methods: [GET]}
`

/** What the operator adds while the proxy runs. */
export const addedRule = '- {id: packages, hosts: [pypi.org], methods: [GET]}'

/** What agents hold. */
export const stubs = { github: 'proxy-token-github', claude: 'sk-ant-stub' } as const

/** Every name that has a server in the demo, those that the policy does not allow included. */
export const hosts = ['api.github.com', 'github.com', 'api.anthropic.com', 'codeload.github.com', 'pypi.org'] as const
