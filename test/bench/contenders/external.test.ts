import { describe, expect, it } from 'vitest'
import { external, fill, readDescriptor } from '../../../bench/contenders/external.ts'

const theirs = { name: 'theirs', way: 'connect', command: ['theirs', '--port={port}', '--ca={ca}'] }

describe('a descriptor', () => {
  it('needs a name, a way and a command', () => {
    expect(readDescriptor(JSON.stringify(theirs), 'theirs.json')).toEqual({ ...theirs, env: {}, warm: 100_000, opens: true })
  })

  it.each([
    ['{', /^theirs\.json: /],
    ['{}', /theirs\.json: name: .*\ntheirs\.json: way: .*\ntheirs\.json: command: /],
    [JSON.stringify({ ...theirs, command: [] }), /theirs\.json: command: /],
    [JSON.stringify({ ...theirs, way: 'socks' }), /theirs\.json: way: /],
    [JSON.stringify({ ...theirs, command: ['{prot}'] }), /command\.0: there is no \{prot\}; there is \{port\} \{ca\}/],
    [JSON.stringify({ ...theirs, env: { CA: '{cert}' } }), /env\.CA: there is no \{cert\}/],
    [JSON.stringify({ ...theirs, comand: [] }), /comand/],
  ])('%s is refused with the place of each mistake', (text, message) => {
    expect(() => readDescriptor(text, 'theirs.json')).toThrow(message)
  })

  it('is filled with what the stage has', () => {
    const values = { port: '1', ca: '/c', caKey: '/k', upstreamCa: '/u', upstream: '127.0.0.9', folder: '/f' }
    expect(fill('{ca}:{caKey}:{port}:{port} {upstreamCa}{upstream}{folder} {', values)).toBe('/c:/k:1:1 /u127.0.0.9/f {')
  })

  it('of a program that is not there has no version', () => {
    const descriptor = readDescriptor(JSON.stringify(theirs), 'theirs.json')
    expect(external({ ...descriptor, command: ['no-such-program-here'] }).version()).toBeUndefined()
    expect(external({ ...descriptor, version: ['no-such-program-here', '-v'] }).version()).toBeUndefined()
    expect(external({ ...descriptor, command: ['sh'] }).version()).toMatch(/sh$/)
  })
})
