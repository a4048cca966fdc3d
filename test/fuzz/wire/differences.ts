import type { Side } from './generator.ts'

/** One disagreement: who refused, with which words, and the bytes from the message on that it is about. */
export interface Disagreement {
  readonly side: Side
  readonly kind: 'they refuse' | 'we refuse' | 'differently'
  /** Our refusal, theirs, or what was read differently. */
  readonly what: string
  readonly rest: string
  /** Of the request that a reply answers. */
  readonly method: string
}

interface Difference {
  readonly title: string
  /** Why we differ, and want to. */
  readonly section: string
  readonly kind: Disagreement['kind']
  readonly side?: Side
  readonly method?: string
  readonly what: RegExp
  readonly rest: RegExp
  readonly example: string
  /** The method that the example answers. */
  readonly asked?: string
}

const post = 'POST / HTTP/1.1\r\n'
const ok = 'HTTP/1.1 200 OK\r\n'
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
const notHttp = /not well-formed HTTP/
const badTarget = /not well-formed HTTP|bad_host/
/** Heads of interim replies that stand before the reply in question. */
const interim = '(?:HTTP/1\\.[01] 1\\d\\d[^\\r\\n]*\\r\\n(?:[^\\r\\n]+\\r\\n)*\\r\\n)*'

/** Every way in which llhttp reads what we do not, or reads it differently. Nothing else may differ. */
export const differences: readonly Difference[] = [
  {
    title: 'more than one empty line, or a bare CR or LF, before a request',
    section: 'RFC 9112 section 2.2: at least one empty line is passed over; llhttp passes over any number of CR and LF',
    kind: 'we refuse',
    side: 'requests',
    what: /not a standard one|not well-formed HTTP/,
    rest: /^(?:\n|\r[^\n]|\r\r|\r\n[\r\n]|\r$)/,
    example: '\r\n\r\nGET / HTTP/1.1\r\n\r\n',
  },
  {
    title: 'more than one space in the request line',
    section: 'RFC 9112 section 3: single spaces',
    kind: 'we refuse',
    side: 'requests',
    what: notHttp,
    rest: /^(?:\r\n)?[A-Z-]+ (?: |[^ \r\n]+ {2})/,
    example: 'GET  / HTTP/1.1\r\n\r\n',
  },
  {
    title: 'a request line without a version, as in HTTP/0.9',
    section: 'RFC 9112 section 3: the version is no option; HTTP/0.9 has no fields to judge',
    kind: 'we refuse',
    side: 'requests',
    what: notHttp,
    rest: /^(?:\r\n)?[A-Z-]+ [^ \r\n]* ?\r?\n/,
    example: 'GET /\r\n\r\n',
  },
  {
    title: 'HTTP/0.9 and HTTP/2.0 as text',
    section: 'RFC 9112 section 2.3: HTTP/1.x alone is read here; RFC 9113 section 3.4: HTTP/2 begins otherwise',
    kind: 'we refuse',
    what: notHttp,
    rest: new RegExp(`^(?:\\r\\n)?(?:[A-Z-]+ [^ \\r\\n]+ |${interim})HTTP/(?:0\\.9|2\\.0)`),
    example: 'GET / HTTP/2.0\r\n\r\n',
  },
  {
    title: 'the protocols ICE and RTSP',
    section: 'RFC 9112 section 2.3: the name of the protocol is HTTP',
    kind: 'we refuse',
    what: notHttp,
    rest: new RegExp(`^(?:\\r\\n)?(?:[A-Z-]+ [^ \\r\\n]+ |${interim})(?:ICE|RTSP)/`),
    example: 'GET / RTSP/1.0\r\n\r\n',
  },
  {
    title: 'a target that goes on behind *',
    section: 'RFC 9112 section 3.2.4: the asterisk stands alone',
    kind: 'we refuse',
    side: 'requests',
    what: badTarget,
    rest: /^(?:\r\n)?[A-Z-]+ \*[^ ]/,
    example: 'OPTIONS *a HTTP/1.1\r\n\r\n',
  },
  {
    title: 'an authority with more than one @',
    section: 'RFC 3986 section 3.2.1: userinfo holds none; one reader takes the first for its end, another the last',
    kind: 'we refuse',
    side: 'requests',
    what: badTarget,
    rest: /^(?:\r\n)?[A-Z-]+ [^ ]*@[^ ]*@/,
    example: 'GET http://u@v@a/ HTTP/1.1\r\n\r\n',
  },
  {
    title: 'an absolute target without an authority',
    section: 'RFC 9110 section 4.2.1: a URI with an empty host is invalid',
    kind: 'we refuse',
    side: 'requests',
    what: badTarget,
    rest: /^(?:\r\n)?[A-Z-]+ [A-Za-z]+:\/\/[ /?]/,
    example: 'GET http:// HTTP/1.1\r\n\r\n',
  },
  {
    title: 'CONNECT to more than an authority',
    section: 'RFC 9112 section 3.2.3: the target of CONNECT is an authority',
    kind: 'we refuse',
    side: 'requests',
    what: /bad_host/,
    rest: /^(?:\r\n)?CONNECT [^ ]*[/?]/,
    example: 'CONNECT / HTTP/1.1\r\n\r\n',
  },
  {
    title: 'methods of RTSP, in HTTP/0.9',
    section: 'RFC 9110 section 16.1: the registry of methods',
    kind: 'we refuse',
    side: 'requests',
    what: /not a standard one/,
    rest: /^(?:\r\n)?(?:DESCRIBE|ANNOUNCE|SETUP|PLAY|PAUSE|TEARDOWN|GET_PARAMETER|SET_PARAMETER|REDIRECT|RECORD|FLUSH) /,
    example: 'DESCRIBE /\r\n\r\n',
  },
  {
    title: 'CR CR behind a status line',
    section: 'RFC 9112 section 2.2: a bare CR is invalid',
    kind: 'we refuse',
    side: 'replies',
    what: notHttp,
    rest: new RegExp(`^${interim}HTTP/1\\.[01] \\d\\d\\d[^\\r\\n]*\\r\\r`),
    example: 'HTTP/1.1 200 OK\r\rContent-Length: 0\r\n\r\n',
  },
  {
    title: 'an empty line before a reply',
    section: 'RFC 9112 section 2.2 allows it before requests alone',
    kind: 'we refuse',
    side: 'replies',
    what: notHttp,
    rest: new RegExp(`^${interim}[\\r\\n]`),
    example: `\r\n${ok}Content-Length: 0\r\n\r\n`,
  },
  {
    title: 'a status that begins with 0',
    section: 'RFC 9110 section 15: a status is from 100 on',
    kind: 'we refuse',
    side: 'replies',
    what: notHttp,
    rest: new RegExp(`^${interim}HTTP/1\\.[01] 0\\d\\d`),
    example: 'HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n',
  },
  {
    title: 'a control character in a reason',
    section: 'RFC 9112 section 4: tab, space, visible characters and obs-text',
    kind: 'we refuse',
    side: 'replies',
    what: notHttp,
    // oxlint-disable-next-line no-control-regex
    rest: new RegExp(`^${interim}HTTP/1\\.[01] \\d\\d\\d [^\\r\\n]*[\\0-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]`),
    example: 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n',
  },
  {
    title: 'a framing name with _ in it',
    section: 'RFC 9112 section 11.2: servers behind CGI read it as the name with -',
    kind: 'we refuse',
    what: /Content-Length must be|Transfer-Encoding may only be/,
    rest: /^(?:content_length|transfer_encoding):/im,
    example: `${post}Content_Length: 3\r\n\r\n`,
  },
  {
    title: 'a Content-Length of more than 15 digits',
    section: 'RFC 9110 section 8.6: a recipient anticipates large numbers; this many are no exact number here',
    kind: 'we refuse',
    asked: 'HEAD',
    what: /Content-Length must be/,
    rest: /^content-length:[\t ]*\d{16,}/im,
    example: `${ok}Content-Length: 9007199254740993\r\n\r\n`,
  },
  {
    title: 'a tab behind a Content-Length',
    section: 'RFC 9112 section 11.2: llhttp refuses it in HTTP/1.1 and takes it in HTTP/1.0; it is refused in both here',
    kind: 'we refuse',
    what: /Content-Length must be/,
    rest: /^content-length:[\t ]*\d+ *\t[\t ]*\r\n/im,
    example: 'HTTP/1.0 200 OK\r\nContent-Length: 3\t\r\n\r\nabc',
  },
  {
    title: 'a coding that is not chunked alone, without a tab behind it',
    section: 'RFC 9112 section 6.1: a coding that is not understood is an error; none is undone here',
    kind: 'we refuse',
    what: /Transfer-Encoding may only be/,
    rest: /^transfer-encoding:(?![\t ]*chunked *\r\n)/im,
    example: `${ok}Transfer-Encoding: gzip\r\n\r\n`,
  },
  {
    title: 'Transfer-Encoding twice',
    section: 'RFC 9112 section 6.1: chunked is applied once; llhttp does not mind where it reads no body',
    kind: 'we refuse',
    asked: 'HEAD',
    what: /Transfer-Encoding may only be/,
    rest: /^transfer-encoding:[^]*^transfer-encoding:/im,
    example: `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  },
  {
    title: 'Transfer-Encoding in HTTP/1.0',
    section: 'RFC 9112 section 6.1: the framing is faulty',
    kind: 'we refuse',
    what: /Transfer-Encoding may only be/,
    rest: /HTTP\/1\.0[^]*^transfer-encoding:/im,
    example: 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  },
  {
    title: 'CONNECT that announces a body',
    section: 'RFC 9110 section 9.3.6: it has none, and what follows it is the tunnel',
    kind: 'we refuse',
    side: 'requests',
    what: /CONNECT has no body/,
    rest: /^(?:\r\n)?CONNECT /,
    example: 'CONNECT a:1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n',
  },
  {
    title: 'an expectation but 100-continue, once',
    section: 'RFC 9110 section 10.1.1: 417 for an expectation that cannot be met',
    kind: 'we refuse',
    side: 'requests',
    what: /expectation_failed/,
    rest: /^expect:/im,
    example: `${post}Expect: x\r\n\r\n`,
  },
  {
    title: 'a reply that announces a body its status cannot have',
    section: 'RFC 9110 section 8.6 and RFC 9112 section 6.1: not with 1xx and 204; llhttp reads a body behind 204',
    kind: 'we refuse',
    side: 'replies',
    what: /reply announces a body/,
    rest: /HTTP\/1\.[01] (?:1\d\d|204)/,
    example: 'HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\nabc',
  },
  {
    title: 'an interim reply that ends its connection',
    section: 'RFC 9110 section 15.2: the final reply must still come',
    kind: 'we refuse',
    side: 'replies',
    what: /interim reply ends/,
    rest: /HTTP\/1\.[01] 1\d\d/,
    example: 'HTTP/1.0 100 Continue\r\n\r\n',
  },
  {
    title: 'no reply behind an interim one',
    section: 'RFC 9110 section 15.2: the final reply must still come',
    kind: 'we refuse',
    side: 'replies',
    what: /broke its reply off/,
    rest: new RegExp(`^(?:HTTP/1\\.[01] 1\\d\\d[^\\r\\n]*\\r\\n(?:[^\\r\\n]+\\r\\n)*\\r\\n)+$`),
    example: 'HTTP/1.1 100 Continue\r\n\r\n',
  },
  {
    title: 'a chunk size of more than 13 digits',
    section: 'RFC 9112 section 7.1: a recipient guards against large numbers; this many are no exact number here',
    kind: 'we refuse',
    what: /length is ambiguous|chunk of the reply/,
    rest: /^[0-9a-f]{14,}/im,
    example: `${chunked}00000000000003\r\nabc\r\n0\r\n\r\n`,
  },
  {
    title: 'a chunk extension without a name or a value',
    section: 'RFC 9112 section 7.1.1: names and values are tokens, and values may be quoted',
    kind: 'we refuse',
    what: /chunk extension/,
    rest: /^[0-9a-f]+;/im,
    example: `${chunked}3;;a\r\nabc\r\n0\r\n\r\n`,
  },
  {
    title: 'a trailer that frames, routes or is about the connection',
    section: 'RFC 9110 section 6.5.1: nothing looks for it behind a body, but the next reader may',
    kind: 'we refuse',
    what: /may not be a trailer/,
    rest: /^0+[^\r\n]*\r\n/m,
    example: `${chunked}0\r\nHost: b\r\n\r\n`,
  },
  {
    title: 'methods that are registered and that llhttp does not know',
    section: 'RFC 9110 section 16.1: the registry of methods',
    kind: 'they refuse',
    side: 'requests',
    what: /HPE_INVALID_METHOD/,
    rest: /(?:BASELINE-CONTROL|CHECKIN|LABEL|MKREDIRECTREF|MKWORKSPACE|ORDERPATCH|UNCHECKOUT|UPDATE|UPDATEREDIRECTREF|VERSION-CONTROL) /,
    example: 'LABEL / HTTP/1.1\r\n\r\n',
  },
  {
    title: 'a reply to HEAD that does not say how long it would be',
    section: 'RFC 9112 section 6.3: it ends with its head, and its connection goes on; llhttp does not know the method',
    kind: 'differently',
    side: 'replies',
    method: 'HEAD',
    what: /^last false true$/,
    rest: /^HTTP/,
    example: `${ok}\r\n`,
  },
  {
    title: 'Proxy-Connection',
    section: 'RFC 9112 appendix C.2.2: it means nothing; llhttp takes it for Connection',
    kind: 'differently',
    what: /^last /,
    rest: /^proxy-connection:/im,
    example: `${post}Proxy-Connection: close\r\n\r\n`,
  },
  {
    title: 'Proxy-Connection in an interim reply',
    section: 'RFC 9112 appendix C.2.2: it means nothing; llhttp takes it for Connection',
    kind: 'they refuse',
    side: 'replies',
    what: /HPE_CLOSED_CONNECTION|error 5$/,
    rest: /HTTP\/1\.1 1\d\d[^]*^proxy-connection:/im,
    example: `HTTP/1.1 100 x\r\nProxy-Connection: close\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
  },
  {
    title: 'close and keep-alive together',
    section: 'RFC 9112 section 9.3: close goes before keep-alive; to llhttp the last one counts',
    kind: 'differently',
    what: /^last true false$/,
    rest: /^(?=[^]*^connection:[^\n]*close)(?=[^]*^connection:[^\n]*keep-alive)/im,
    example: 'GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n',
  },
  {
    title: 'a tab behind close',
    section: 'RFC 9110 section 5.6.3: a tab is white space too; to llhttp it makes another option of it',
    kind: 'differently',
    side: 'replies',
    method: 'HEAD',
    what: /^last true false$/,
    rest: /^connection:[^\n]*close *\t/im,
    example: `${ok}Connection: x, close\t\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc`,
  },
]

export function explain(given: Disagreement): Difference | undefined {
  return differences.find(
    ({ kind, side, method, what, rest }) =>
      kind === given.kind &&
      (side ?? given.side) === given.side &&
      (method ?? given.method) === given.method &&
      what.test(given.what) &&
      rest.test(given.rest),
  )
}
