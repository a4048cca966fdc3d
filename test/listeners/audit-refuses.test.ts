import { expect, it } from 'vitest'
import { openH2, openTls, requestH2 } from '../kit/raw.ts'
import { authority, stage } from './stage.ts'

it('no request begins that could not be recorded, and it passes again after', async () => {
  await using on = await stage()
  const tls = await openTls({ port: on.ports.https, servername: 'good.test', ca: authority.certPem, alpn: ['h2'] })
  const h2 = await openH2(tls)
  const ask = () => requestH2(h2, { ':path': '/', ':authority': 'good.test' })
  const audit = on.world.ports.audit as { refuses?: boolean }
  audit.refuses = true
  const refused = await ask()
  expect(refused.status).toBe(503)
  expect(JSON.parse(refused.body.toString())).toMatchObject({ error: { code: 'audit_unavailable' } })
  expect(on.world.sent).toEqual([])
  expect(on.world.records.filter(({ type }) => type === 'request')).toEqual([])
  audit.refuses = false
  expect((await ask()).status).toBe(200)
  h2.destroy()
})
