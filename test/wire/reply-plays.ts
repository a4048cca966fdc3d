import type { Row } from './request-plays.ts'

const ok = 'HTTP/1.1 200 OK\r\n'
const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`
const chunkedHead = ['200 OK 1.1 chunked', 'Transfer-Encoding: chunked'] as const

/** What is read. */
export const wellFormed: readonly Row[] = [
  ['a body with its length', `${ok}Content-Length: 2\r\n\r\nhi`, ['200 OK 1.1 length 2', 'Content-Length: 2', '"hi"', 'end']],
  [
    'a chunked body with trailers',
    `${chunked}2\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\r\n`,
    [...chunkedHead, '"hi"', 'end', 'Grpc-Status: 0'],
  ],
  ['a body up to the end of the connection', `${ok}\r\nhi`, ['200 OK 1.1 close last', '"hi"', 'end'], { ends: true }],
  ['an empty one of those', `${ok}\r\n`, ['200 OK 1.1 close last', 'end'], { ends: true }],
  ['no reason', `HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n`, ['200  1.1 none', 'Content-Length: 0', 'end']],
  ['no reason and no space', `HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n`, ['200  1.1 none', 'Content-Length: 0', 'end']],
  [
    'a reason with spaces and obs-text',
    `HTTP/1.1 404 Nicht \xe9\tda \r\nContent-Length: 0\r\n\r\n`,
    ['404 Nicht \xe9\tda  1.1 none', 'Content-Length: 0', 'end'],
  ],
  ['a status that is not known', `HTTP/1.1 799 x\r\nContent-Length: 0\r\n\r\n`, ['799 x 1.1 none', 'Content-Length: 0', 'end']],
  [
    'interim replies before the final one',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n${ok}Content-Length: 1\r\n\r\nx`,
    ['100 Continue interim', '103 Early interim', 'Link: x', '200 OK 1.1 length 1', 'Content-Length: 1', '"x"', 'end'],
  ],
  [
    'a switch of protocols, and leaves what follows alone',
    `HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x00`,
    ['101 Switching 1.1 none', 'Upgrade: websocket', 'end'],
  ],
  [
    'no body to HEAD',
    `${ok}Content-Length: 5\r\n\r\n${ok}Content-Length: 1\r\n\r\nx`,
    ['200 OK 1.1 none', 'Content-Length: 5', 'end', '200 OK 1.1 length 1', 'Content-Length: 1', '"x"', 'end'],
    { methods: ['HEAD', 'GET'] },
  ],
  ['no body to HEAD though chunked', chunked, ['200 OK 1.1 none', 'Transfer-Encoding: chunked', 'end'], { methods: ['HEAD'] }],
  [
    'no body of 204',
    `HTTP/1.1 204 None\r\n\r\n${ok}Content-Length: 0\r\n\r\n`,
    ['204 None 1.1 none', 'end', '200 OK 1.1 none', 'Content-Length: 0', 'end'],
  ],
  ['204 with a length of 0', `HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n`, ['204 None 1.1 none', 'Content-Length: 0', 'end']],
  [
    'no body of 304 whatever it announces',
    `HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ['304 Same 1.1 none', 'Content-Length: 5', 'end', '304 Same 1.1 none', 'Transfer-Encoding: chunked', 'end'],
  ],
  [
    '205 like any other: what ends its body is said in its head',
    `HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\nHTTP/1.1 205 Reset\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ['205 Reset 1.1 none', 'Content-Length: 0', 'end', '205 Reset 1.1 chunked', 'Transfer-Encoding: chunked', 'end'],
  ],
  [
    'Connection: close',
    `${ok}Content-Length: 0\r\nConnection: close\r\n\r\n`,
    ['200 OK 1.1 none last', 'Content-Length: 0', 'Connection: close', 'end'],
  ],
  ['HTTP/1.0', `HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx`, ['200 OK 1.0 length 1 last', 'Content-Length: 1', '"x"', 'end']],
  [
    'HTTP/1.0 that keeps its connection',
    `HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\nx`,
    ['200 OK 1.0 length 1', 'Content-Length: 1', 'Connection: Keep-Alive', '"x"', 'end'],
  ],
  ['nothing between replies', `${ok}Content-Length: 0\r\n\r\n`, ['200 OK 1.1 none', 'Content-Length: 0', 'end'], { ends: true }],
]

const bad = ['! upstream_protocol'] as const
const broken = '! upstream_reset'

/** What is refused. */
export const refused: readonly Row[] = [
  // The status line: RFC 9112 section 4.
  ...[
    'http/1.1 200 OK',
    'HTTP/1.2 200 OK',
    'HTTP/2 200 OK',
    'HTTP/0.9 200 OK',
    'ICY 200 OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 099 x',
    'HTTP/1.1 2x0 OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1 200 O\x01K',
    'HTTP/1.1 200 O\0K',
    ' HTTP/1.1 200 OK',
    'SSH-2.0-x',
  ].map((line) => [`the status line ${JSON.stringify(line)}`, `${line}\r\nContent-Length: 0\r\n\r\n`, bad] as const),
  ['an empty line before', `\r\n${ok}Content-Length: 0\r\n\r\n`, bad],
  ['LF behind the status line', `HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n`, bad],
  ['CR behind the status line', `HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n`, bad],
  // Fields: RFC 9112 section 5.
  ...['X Y: 1', 'X : 1', ': 1', 'X', 'X: a\rb', 'X: a\nb', 'X: a\0b', 'X: a\x7fb', 'X: 1\r\n 2', 'X\xe9: 1'].map(
    (field) => [`the field ${JSON.stringify(field)}`, `${ok}${field}\r\nContent-Length: 0\r\n\r\n`, bad] as const,
  ),
  // Length: RFC 9112 section 6.3, RFC 9110 section 8.6.
  ...['', '+1', '1,1', '1, 1', '-1', '1 1', '0x1', '9'.repeat(16)].map(
    (value) => [`Content-Length: ${value}`, `${ok}Content-Length: ${value}\r\n\r\nx`, bad] as const,
  ),
  ['one length twice', `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`, bad],
  ['Content_Length', `${ok}Content_Length: 1\r\n\r\nx`, bad],
  ...['gzip', 'gzip, chunked', 'identity', 'chunked, chunked', ''].map(
    (value) => [`Transfer-Encoding: ${value}`, `${ok}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n`, bad] as const,
  ),
  ...['gzip', 'chunked'].map(
    (first) =>
      [
        `Transfer-Encoding: ${first} and chunked on a line each`,
        `${ok}Transfer-Encoding: ${first}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        bad,
      ] as const,
  ),
  ...['204', '304'].map(
    (status) => [`${status} with a coding`, `HTTP/1.1 ${status} x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n`, bad] as const,
  ),
  ['Transfer_Encoding', `${ok}Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n`, bad],
  ['a length and chunked', `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, bad],
  ['a length and chunked to HEAD', `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`, bad, { methods: ['HEAD'] }],
  ['chunked in HTTP/1.0', `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, bad],
  ...['100', '101', '103', '204'].flatMap((status) => [
    [`${status} with a length`, `HTTP/1.1 ${status} x\r\nContent-Length: 5\r\n\r\nhello`, bad] as const,
    [`${status} with chunks`, `HTTP/1.1 ${status} x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, bad] as const,
  ]),
  // Chunks and trailers: RFC 9112 section 7.1, RFC 9110 section 6.5.1.
  ['a chunk size that is none', `${chunked}x\r\n`, [...chunkedHead, ...bad]],
  ['a trailer that frames', `${chunked}0\r\nContent-Length: 1\r\n\r\n`, [...chunkedHead, ...bad]],
  ['a cookie behind the body', `${chunked}0\r\nSet-Cookie: a=b\r\n\r\n`, [...chunkedHead, ...bad]],
  ['a trailer with a control character', `${chunked}0\r\nX: \x01\r\n\r\n`, [...chunkedHead, ...bad]],
  ['a head past the limit', `${ok}X: ${'1'.repeat(60)}\r\n\r\n`, bad, { limits: { headBytes: 40 } }],
  ['fields past the limit', `${ok}X: 1\r\nY: 1\r\n\r\n`, bad, { limits: { headers: 1 } }],
  // The end of the connection: RFC 9112 section 8.
  ['a head that breaks off', ok, [broken], { ends: true }],
  [
    'a body that breaks off',
    `${ok}Content-Length: 5\r\n\r\nhi`,
    ['200 OK 1.1 length 5', 'Content-Length: 5', '"hi"', broken],
    { ends: true },
  ],
  ['chunks that break off', `${chunked}2\r\nhi\r\n`, [...chunkedHead, '"hi"', broken], { ends: true }],
  ['a final reply that never comes', `HTTP/1.1 100 Continue\r\n\r\n`, ['100 Continue interim', broken], { ends: true }],
]
