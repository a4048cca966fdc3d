import { expect, test } from 'vitest'
import { testAuthority } from './ca.ts'
import { openGrpc, startGrpcServer } from './grpc.ts'

const host = 'grpc.test'

test('calls are echoed, alone and in a stream, and their metadata recorded', async () => {
  await using server = await startGrpcServer({ certificate: testAuthority().leaf(host) })
  using client = openGrpc({ port: server.port, host, ca: testAuthority().certPem, authorization: 'Bearer stub' })
  expect(await client.unary('hello')).toBe('hello')
  expect(await client.bidi(['one', 'two', 'three'])).toEqual(['one', 'two', 'three'])
  await expect(client.unary('fail')).rejects.toMatchObject({ code: 9 })
  expect(server.calls.map(({ method }) => method)).toEqual(['unary', 'bidi', 'unary'])
  expect(server.calls[0]).toEqual({ method: 'unary', host, authorization: 'Bearer stub' })
})
