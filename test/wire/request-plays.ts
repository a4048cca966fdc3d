import type { Play, Script } from './playbook.ts'

export type Row = readonly [title: string, bytes: string, script: Script, play?: Partial<Play>]

const host = 'Host: a\r\n'
const get = `GET / HTTP/1.1\r\n${host}`
const post = `POST / HTTP/1.1\r\n${host}`
const gotten = ['GET / 1.1 none', 'Host: a', 'end'] as const
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
const chunkedHead = ['POST / 1.1 chunked', 'Host: a', 'Transfer-Encoding: chunked'] as const

/** What is read. */
export const wellFormed: readonly Row[] = [
  ['a request without a body', `${get}\r\n`, gotten],
  [
    'names in their case, values without the space around them',
    `GET /x?y HTTP/1.1\r\nhOST:a\r\nX-A: \t b c\t \r\nEmpty:\r\n\r\n`,
    ['GET /x?y 1.1 none', 'hOST: a', 'X-A: b c', 'Empty: ', 'end'],
  ],
  ['obs-text in a value', `${get}X: \xe9\xff\r\n\r\n`, ['GET / 1.1 none', 'Host: a', 'X: \xe9\xff', 'end']],
  ['no field at all', 'GET / HTTP/1.1\r\n\r\n', ['GET / 1.1 none', 'end']],
  [
    'a body with its length',
    `${post}Content-Length: 3\r\n\r\nabc`,
    ['POST / 1.1 length 3', 'Host: a', 'Content-Length: 3', '"abc"', 'end'],
  ],
  ['a length of 0', `${post}Content-Length: 0\r\n\r\n`, ['POST / 1.1 none', 'Host: a', 'Content-Length: 0', 'end']],
  ['a chunked body', `${chunked}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`, [...chunkedHead, '"abcde"', 'end']],
  [
    'chunk sizes in either case, with zeros before them',
    `${chunked}0A\r\n0123456789\r\n000b\r\n0123456789a\r\n00\r\n\r\n`,
    [...chunkedHead, '"01234567890123456789a"', 'end'],
  ],
  ['chunk extensions', `${chunked}1;a;b=c;d="e \\" f"\r\nx\r\n0;g\r\n\r\n`, [...chunkedHead, '"x"', 'end']],
  ['trailers', `${chunked}1\r\nx\r\n0\r\nX-Sum: 1\r\nX-B:\r\n\r\n`, [...chunkedHead, '"x"', 'end', 'X-Sum: 1', 'X-B: ']],
  [
    'Chunked in another case',
    `${post}Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n`,
    ['POST / 1.1 chunked', 'Host: a', 'Transfer-Encoding: CHUNKED', 'end'],
  ],
  [
    'three in one go',
    `${get}\r\n${post}Content-Length: 1\r\n\r\nx${get}\r\n`,
    [...gotten, 'POST / 1.1 length 1', 'Host: a', 'Content-Length: 1', '"x"', 'end', ...gotten],
  ],
  ['an empty line before each', `\r\n${get}\r\n\r\n${get}\r\n`, [...gotten, ...gotten]],
  ['an empty line and nothing more', `${get}\r\n\r\n`, gotten, { ends: true }],
  [
    'Connection: close among others',
    `${get}Connection: foo , CLOSE\r\n\r\n`,
    ['GET / 1.1 none last', 'Host: a', 'Connection: foo , CLOSE', 'end'],
  ],
  [
    'an option that only begins like close',
    `${get}Connection: closed\r\n\r\n`,
    ['GET / 1.1 none', 'Host: a', 'Connection: closed', 'end'],
  ],
  ['HTTP/1.0', `GET / HTTP/1.0\r\n\r\n`, ['GET / 1.0 none last', 'end']],
  [
    'HTTP/1.0 that keeps its connection',
    `GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`,
    ['GET / 1.0 none', 'Connection: keep-alive', 'end'],
  ],
  [
    'an expectation',
    `${post}Content-Length: 1\r\nExpect: 100-Continue\r\n\r\nx`,
    ['POST / 1.1 length 1 expects', 'Host: a', 'Content-Length: 1', 'Expect: 100-Continue', '"x"', 'end'],
  ],
  [
    'an expectation without a body',
    `${get}Expect: 100-continue\r\n\r\n`,
    ['GET / 1.1 none', 'Host: a', 'Expect: 100-continue', 'end'],
  ],
  [
    'an expectation of HTTP/1.0',
    `POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx`,
    ['POST / 1.0 length 1 last', 'Content-Length: 1', 'Expect: 100-continue', '"x"', 'end'],
  ],
  ['an absolute target', `GET http://a/ HTTP/1.1\r\n\r\n`, ['GET http://a/ 1.1 none', 'end']],
  ['the target of all', `OPTIONS * HTTP/1.1\r\n\r\n`, ['OPTIONS * 1.1 none', 'end']],
  [
    'CONNECT, and leaves what follows alone',
    `CONNECT a:443 HTTP/1.1\r\n${host}\r\n\x16\x03`,
    ['CONNECT a:443 1.1 none', 'Host: a', 'end'],
  ],
  [
    'methods with a hyphen',
    `M-SEARCH / HTTP/1.1\r\n\r\nVERSION-CONTROL / HTTP/1.1\r\n\r\n`,
    ['M-SEARCH / 1.1 none', 'end', 'VERSION-CONTROL / 1.1 none', 'end'],
  ],
  ['a head that is not complete', get, ['in head']],
  [
    'a body that is not complete',
    `${post}Content-Length: 9\r\n\r\nabc`,
    ['POST / 1.1 length 9', 'Host: a', 'Content-Length: 9', '"abc" …'],
  ],
  [
    'as many fields and bytes as the limits allow',
    `GET /12 HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n`,
    ['GET /12 1.1 none', 'A: 1', 'B: 2', 'end'],
    {
      limits: { headBytes: 30, headers: 2, targetBytes: 3 },
    },
  ],
]

const malformed = ['! malformed_request'] as const
const method = ['! method_not_allowed'] as const
const framing = ['! bad_framing'] as const
const tooLarge = ['! head_too_large'] as const
const badChunk = [...chunkedHead, '! bad_framing'] as const
const badChunkAfterData = [...chunkedHead, '"x"', '! bad_framing'] as const
const badTrailer = [...chunkedHead, '! malformed_request'] as const

/** What is refused. */
export const refused: readonly Row[] = [
  // The request line: RFC 9112 section 3.
  ['a method in lower case', `get / HTTP/1.1\r\n\r\n`, method],
  ['a method that is not registered', `BREW / HTTP/1.1\r\n\r\n`, method],
  ['a method that is too long', `${'A'.repeat(40)} / HTTP/1.1\r\n\r\n`, method],
  ['bytes of TLS', '\x16\x03\x01\x00\x05hello', method],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', malformed],
  ['two spaces behind the method', `GET  / HTTP/1.1\r\n\r\n`, malformed],
  ['a tab behind the method', `GET\t/ HTTP/1.1\r\n\r\n`, malformed],
  ['two spaces behind the target', `GET /  HTTP/1.1\r\n\r\n`, malformed],
  ['a space in the target', `GET /a b HTTP/1.1\r\n\r\n`, malformed],
  ['a tab in the target', `GET /a\tb HTTP/1.1\r\n\r\n`, malformed],
  ['a NUL in the target', `GET /\0 HTTP/1.1\r\n\r\n`, malformed],
  ['no target', `GET HTTP/1.1\r\n\r\n`, malformed],
  ['a target that is no path', `GET foo HTTP/1.1\r\n\r\n`, malformed],
  ['a target that goes on behind *', `OPTIONS *a HTTP/1.1\r\n\r\n`, malformed],
  ['a path to CONNECT', `CONNECT /x HTTP/1.1\r\n\r\n`, ['! bad_host']],
  ...[
    'http://',
    'http:///x',
    'http:/a',
    'http:a',
    'http://u@v@a/',
    'http://a"b/',
    'http://a\\b/',
    'http://a#b',
    '://a',
    '1x://a',
  ].map((target) => [`the target ${target}`, `GET ${target} HTTP/1.1\r\n\r\n`, malformed] as const),
  ...['a:1/', 'a:1?b', 'a"b:1', 'http://a'].map(
    (target) => [`CONNECT ${target}`, `CONNECT ${target} HTTP/1.1\r\n\r\n`, ['! bad_host']] as const,
  ),
  ['no version', `GET /\r\n\r\n`, malformed],
  ['a space behind the version', `GET / HTTP/1.1 \r\n\r\n`, malformed],
  ...['http/1.1', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.10', 'HTTP/1', 'HTTP/01.1', 'HTTPS/1.1', 'ICE/1.0'].map(
    (version) => [`the version ${version}`, `GET / ${version}\r\n\r\n`, malformed] as const,
  ),
  ['two empty lines before', `\r\n\r\n${get}\r\n`, method],
  ['LF alone before', `\n${get}\r\n`, method],
  ['CR alone before', `\r${get}\r\n`, malformed],
  ['a space before', ` ${get}\r\n`, method],
  // Fields: RFC 9112 section 5, RFC 9110 section 5.5.
  ['LF behind the request line', `GET / HTTP/1.1\nHost: a\r\n\r\n`, malformed],
  ['CR behind the request line', `GET / HTTP/1.1\rHost: a\r\n\r\n`, malformed],
  ['LF behind a field', `${get}X: 1\nY: 2\r\n\r\n`, malformed],
  ['LF LF at the end', `${get}X: 1\n\n`, malformed],
  ['CR behind a field', `${get}X: 1\rY: 2\r\n\r\n`, malformed],
  ['CR CR LF behind a field', `${get}X: 1\r\r\n\r\n`, malformed],
  ['CR LF, LF at the end', `${get}X: 1\r\n\n`, malformed],
  ['a folded line', `${get}X: 1\r\n 2\r\n\r\n`, malformed],
  ['a folded first line', `GET / HTTP/1.1\r\n Host: a\r\n\r\n`, malformed],
  ['a space before the colon', `${get}Content-Length : 1\r\n\r\nx`, malformed],
  ['a tab before the colon', `${get}Transfer-Encoding\t: chunked\r\n\r\n`, malformed],
  ['a space in a name', `${get}X Y: 1\r\n\r\n`, malformed],
  ['a name that is empty', `${get}: 1\r\n\r\n`, malformed],
  ['a line without a colon', `${get}X\r\n\r\n`, malformed],
  ['obs-text in a name', `${get}X\xe9: 1\r\n\r\n`, malformed],
  ['brackets in a name', `${get}X[]: 1\r\n\r\n`, malformed],
  ...['\0', '\x01', '\x08', '\x0b', '\x0c', '\x1f', '\x7f'].map(
    (control) =>
      [`the control character ${control.charCodeAt(0)} in a value`, `${get}X: a${control}b\r\n\r\n`, malformed] as const,
  ),
  // Length: RFC 9112 section 6.
  ...[
    '',
    '+1',
    '-1',
    '1,1',
    '1, 1',
    '1 1',
    '0x1',
    '1.0',
    '1e1',
    '1\t1',
    '²',
    '9'.repeat(16),
    '9007199254740993',
    '18446744073709551617',
  ].map((value) => [`Content-Length: ${value}`, `${post}Content-Length: ${value}\r\n\r\nx`, framing] as const),
  ['a tab behind a length', `${post}Content-Length: 1\t\r\n\r\nx`, framing],
  ['a tab behind chunked', `${post}Transfer-Encoding: chunked \t \r\n\r\n0\r\n\r\n`, framing],
  ['two lengths', `${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`, framing],
  ['one length twice', `${post}Content-Length: 1\r\ncontent-length: 1\r\n\r\nx`, framing],
  ['Content_Length', `${post}Content_Length: 1\r\n\r\nx`, framing],
  ['Transfer_Encoding', `${post}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n`, framing],
  ['Transfer_Encoding beside a length', `${post}Content-Length: 5\r\ntransfer_encoding: chunked\r\n\r\n0\r\n\r\n`, framing],
  ...[
    'gzip',
    'identity',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
    'chunked;q=1',
    '"chunked"',
    'xchunked',
    'chunked,',
    '',
  ].map((value) => [`Transfer-Encoding: ${value}`, `${post}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`, framing] as const),
  ['Transfer-Encoding with a vertical tab', `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, malformed],
  ['chunked twice', `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, framing],
  ['a length and chunked', `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, framing],
  ['chunked and a length', `${post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, framing],
  ['chunked in HTTP/1.0', `POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, framing],
  ['CONNECT with a length', `CONNECT a:1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n`, framing],
  ['CONNECT with chunks', `CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n`, framing],
  // Expectations: RFC 9110 section 10.1.1.
  ...['200-ok', '100-continue, x', '100_continue', ''].map(
    (value) => [`Expect: ${value}`, `${post}Expect: ${value}\r\nContent-Length: 1\r\n\r\nx`, ['! expectation_failed']] as const,
  ),
  ['an expectation twice', `${post}Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n`, ['! expectation_failed']],
  // Chunks: RFC 9112 section 7.1.
  ...[
    '',
    'g',
    '-1',
    '+1',
    '0x1',
    ' 1',
    '1 ',
    '1\t',
    '1 ;a',
    '1; a',
    '1;a =b',
    '1;',
    '1;=b',
    '1;a=',
    '1;a="',
    '1;a="\x01"',
    '1;a="b"c',
    '1;a=b"',
    '1_0',
    'fffffffffffff0',
    '00000000000001',
  ].map((line) => [`the chunk line ${JSON.stringify(line)}`, `${chunked}${line}\r\nx\r\n0\r\n\r\n`, badChunk] as const),
  ['LF behind a chunk size', `${chunked}1\nx\r\n0\r\n\r\n`, badChunk],
  ['CR behind a chunk size', `${chunked}1\rx\r\n0\r\n\r\n`, badChunk],
  ['LF in an extension', `${chunked}1;a\nx\r\n0\r\n\r\n`, badChunk],
  ['a chunk that is longer than its size', `${chunked}1\r\nxy\r\n0\r\n\r\n`, badChunkAfterData],
  ['LF behind a chunk', `${chunked}1\r\nx\n0\r\n\r\n`, badChunkAfterData],
  ['CR CR behind a chunk', `${chunked}1\r\nx\r\r\n0\r\n\r\n`, badChunkAfterData],
  [
    'extensions past the limit, over chunks',
    `${chunked}1;aaa\r\nx\r\n1;bbb\r\ny\r\n0\r\n\r\n`,
    badChunkAfterData,
    { limits: { chunkLineBytes: 7 } },
  ],
  // Trailers: RFC 9110 section 6.5.1.
  ...[
    'Content-Length: 1',
    'transfer-encoding: chunked',
    'Transfer_Encoding: chunked',
    'Host: b',
    'Connection: close',
    'Authorization: x',
    'Trailer: x',
    'TE: x',
  ].map((field) => [`the trailer ${field}`, `${chunked}0\r\n${field}\r\n\r\n`, badChunk] as const),
  ['a trailer without a colon', `${chunked}0\r\nX\r\n\r\n`, badTrailer],
  ['a trailer that ends with LF', `${chunked}0\r\nX: 1\n\r\n`, badTrailer],
  ['a folded trailer', `${chunked}0\r\n X: 1\r\n\r\n`, badTrailer],
  ['LF behind the last chunk', `${chunked}0\r\n\n`, badTrailer],
  ['CR behind the last chunk', `${chunked}0\r\n\rX: 1\r\n\r\n`, badTrailer],
  [
    'trailers past the limit',
    `${chunked}0\r\nX: ${'1'.repeat(40)}\r\n\r\n`,
    [...chunkedHead, '! head_too_large'],
    { limits: { trailerBytes: 40 } },
  ],
  // Limits: RFC 9112 section 2.2 and 3.
  ['a head past the limit', `${get}X: ${'1'.repeat(20)}\r\n\r\n`, tooLarge, { limits: { headBytes: 40 } }],
  ['a head past the limit by one byte', `${get}X: 1\r\n\r\n`, tooLarge, { limits: { headBytes: 30 } }],
  [
    'a head past the limit that has a fault before it',
    `${get}X Y: ${'1'.repeat(40)}\r\n\r\n`,
    malformed,
    { limits: { headBytes: 60 } },
  ],
  [
    'a head past the limit that has a fault behind it',
    `${get}X: ${'1'.repeat(40)}\nY\r\n\r\n`,
    tooLarge,
    { limits: { headBytes: 60 } },
  ],
  ['a head without end', `${get}X: ${'1'.repeat(60)}`, tooLarge, { limits: { headBytes: 60 } }],
  ['a field past the limit', `${get}X: 1\r\nY: 2\r\n\r\n`, tooLarge, { limits: { headers: 2 } }],
  ['a target past the limit', `GET /123 HTTP/1.1\r\n\r\n`, tooLarge, { limits: { targetBytes: 3 } }],
  // The end of the connection: RFC 9112 section 8.
  ['a head that breaks off', get, framing, { ends: true }],
  [
    'a body that breaks off',
    `${post}Content-Length: 9\r\n\r\nabc`,
    ['POST / 1.1 length 9', 'Host: a', 'Content-Length: 9', '"abc"', '! bad_framing'],
    { ends: true },
  ],
  ['chunks that break off', `${chunked}1\r\nx\r\n`, badChunkAfterData, { ends: true }],
  ['trailers that break off', `${chunked}1\r\nx\r\n0\r\n`, badChunkAfterData, { ends: true }],
  ['what follows a good one', `${get}\r\nGET / HTTP/1.1\r\nX Y\r\n\r\n`, [...gotten, '! malformed_request']],
]
