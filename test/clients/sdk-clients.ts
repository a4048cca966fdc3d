/** SDKs of the providers of models, and boto3. */
import { nodeCommand } from './http-clients.ts'
import type { Client, Command, Installed } from './types.ts'

const noLogin = { refresh: 'has no login of its own' } as const
const keyOnly = { ...noLogin, ended: 'its key is no Bearer token, which logins are' } as const

function sdk(
  some: Pick<Client, 'id' | 'host'> & { readonly needs: string; readonly command: (installed: Installed) => Command } & Partial<
      Pick<Client, 'served' | 'without' | 'family'>
    >,
): Client {
  const { needs, command, ...rest } = some
  return {
    family: 'SDKs',
    version: ({ versions }) => versions[needs],
    missing: ({ versions }) => (versions[needs] ? undefined : `${needs.split(':')[1]} was not installed`),
    command: (_state, installed) => command(installed),
    served: /word word word/,
    shows: 'body',
    without: noLogin,
    ...rest,
  }
}

const python =
  (code: string) =>
  ({ python: program }: Installed): Command => ({ program, args: ['-c', code] })

const node = (code: string) => (installed: Installed) => nodeCommand(code, installed)

export const sdkClients: readonly Client[] = [
  sdk({
    id: 'anthropic (Python)',
    host: 'api.anthropic.com',
    needs: 'pypi:anthropic',
    command: python(
      `import anthropic\nc = anthropic.Anthropic(api_key='sk-ant-stub')\nprint(c.messages.create(model='claude-opus-5', max_tokens=100, messages=[{'role': 'user', 'content': 'hello'}]).content[0].text)`,
    ),
  }),
  sdk({
    id: 'anthropic (JS)',
    host: 'api.anthropic.com',
    needs: 'npm:@anthropic-ai/sdk',
    command: node(
      `const { default: Anthropic } = require('@anthropic-ai/sdk')\nconst client = new Anthropic({ apiKey: 'sk-ant-stub' })\nconst { content } = await client.messages.create({ model: 'claude-opus-5', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] })\nconsole.log(content[0].text)`,
    ),
  }),
  sdk({
    id: 'openai (Python)',
    host: 'api.openai.com',
    needs: 'pypi:openai',
    command: python(
      `import openai\nc = openai.OpenAI(api_key='sk-stub-openai')\nprint(c.responses.create(model='gpt-5', input='hello').output_text)`,
    ),
  }),
  sdk({
    id: 'openai (JS)',
    host: 'api.openai.com',
    needs: 'npm:openai',
    command: node(
      `const { default: OpenAI } = require('openai')\nconst client = new OpenAI({ apiKey: 'sk-stub-openai' })\nconst stream = await client.chat.completions.create({ model: 'gpt-5', stream: true, messages: [{ role: 'user', content: 'hello' }] })\nlet text = ''\nfor await (const chunk of stream) text += chunk.choices[0].delta.content ?? ''\nconsole.log(text)`,
    ),
  }),
  sdk({
    id: 'google-genai (Python)',
    host: 'generativelanguage.googleapis.com',
    needs: 'pypi:google-genai',
    without: keyOnly,
    command: python(
      `from google import genai\nc = genai.Client(api_key='gemini-key-stub')\nprint(c.models.generate_content(model='gemini-2.5-pro', contents='hello').text)`,
    ),
  }),
  sdk({
    id: '@google/genai (JS)',
    host: 'generativelanguage.googleapis.com',
    needs: 'npm:@google/genai',
    without: keyOnly,
    command: node(
      `const { GoogleGenAI } = require('@google/genai')\nconst client = new GoogleGenAI({ apiKey: 'gemini-key-stub' })\nconsole.log((await client.models.generateContent({ model: 'gemini-2.5-pro', contents: 'hello' })).text)`,
    ),
  }),
  sdk({
    id: 'boto3 (S3)',
    host: 's3.us-east-1.amazonaws.com',
    needs: 'pypi:boto3',
    served: /^put and presigned 200$/m,
    without: { ...noLogin, ended: 'signs with a key, and has no login' },
    command: (installed) => ({
      ...python(
        `import boto3, hashlib, base64, urllib.request
from botocore.config import Config
s3 = boto3.client('s3', region_name='us-east-1', endpoint_url='https://s3.us-east-1.amazonaws.com', config=Config(signature_version='s3v4', s3={'addressing_style': 'path'}))
md5 = base64.b64encode(hashlib.md5(b'hello').digest()).decode()
s3.put_object(Bucket='bucket', Key='a key', Body=b'hello', ContentMD5=md5)
print('put and presigned', urllib.request.urlopen(s3.generate_presigned_url('get_object', Params={'Bucket': 'bucket', 'Key': 'a key'})).status)`,
      )(installed),
      env: { AWS_ACCESS_KEY_ID: 'AKIASTUBSTUBSTUBSTUB', AWS_SECRET_ACCESS_KEY: 'stub', AWS_EC2_METADATA_DISABLED: 'true' },
    }),
  }),
]
