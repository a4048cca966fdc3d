import { describe, expect, it } from 'vitest'
import {
  answeredEndpointField,
  basicClient,
  endpointUrl,
  tokenCall,
  tokenEndpointField,
} from '#credentials/oauth/token-endpoint.ts'
import { host } from '../../kit/credentials.ts'
import { shown } from '../../kit/lease-input.ts'

const login = host('login.example.com')

describe('a token endpoint', () => {
  it.each([
    ['https://login.example.com/oauth/token', { host: login, port: 443, path: '/oauth/token' }],
    ['https://LOGIN.example.com:8443/t?v=1', { host: login, port: 8443, path: '/t?v=1' }],
    ['https://login.example.com', { host: login, port: 443, path: '/' }],
  ])('%s is read', (text, expected) => {
    expect(tokenEndpointField.parse(text)).toEqual(expected)
  })

  it.each([
    'http://login.example.com/t',
    'login.example.com/t',
    'https://login.example.com/t#x',
    'https://u:p@login.example.com/t',
    'https://10.0.0.1/t',
    'https://[::1]/t',
    '',
  ])('%j is refused', (text) => {
    expect(tokenEndpointField.safeParse(text).success).toBe(false)
  })

  it('is written as a URL, the port only where it is not 443', () => {
    expect(endpointUrl({ host: login, port: 443, path: '/t' })).toBe('https://login.example.com/t')
    expect(endpointUrl({ host: login, port: 8443, path: '/t' })).toBe('https://login.example.com:8443/t')
  })
})

describe('an endpoint that is answered here', () => {
  it.each([
    ['login.example.com/oauth/token', { host: login, port: 443, path: '/oauth/token' }],
    ['login.example.com:8443/', { host: login, port: 8443, path: '/' }],
  ])('%s is read', (text, expected) => {
    expect(answeredEndpointField.parse(text)).toEqual(expected)
  })

  it.each([
    'https://login.example.com/t',
    'login.example.com',
    '/t',
    'login.example.com/t?x',
    'login.example.com/t#x',
    'login.example.com/a b',
    '10.0.0.1/t',
    '',
  ])('%j is refused', (text) => {
    expect(answeredEndpointField.safeParse(text).success).toBe(false)
  })
})

describe('a token call', () => {
  const parameters = [
    ['grant_type', 'x'],
    ['scope', 'a b&c=d+é'],
  ] as const
  const common = { 'user-agent': 'iron-proxy', accept: 'application/json' }

  it('is a form', () => {
    expect(shown(tokenCall('/t', parameters, 'form', ['authorization', 'Basic x']))).toEqual({
      start: 'POST /t',
      headers: { ...common, 'content-type': 'application/x-www-form-urlencoded', authorization: 'Basic x' },
      body: 'grant_type=x&scope=a+b%26c%3Dd%2B%C3%A9',
    })
  })

  it('or JSON', () => {
    expect(shown(tokenCall('/t', parameters, 'json'))).toEqual({
      start: 'POST /t',
      headers: { ...common, 'content-type': 'application/json' },
      body: '{"grant_type":"x","scope":"a b&c=d+é"}',
    })
  })

  it('writes both halves of Basic as in a form', () => {
    expect(basicClient('a:b', 'c d+é')).toBe(`Basic ${Buffer.from('a%3Ab:c+d%2B%C3%A9').toString('base64')}`)
  })
})
