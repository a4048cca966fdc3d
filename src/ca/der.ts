/**
 * DER (X.690) in the few shapes a certificate needs, written by node-forge. It keeps bytes as Latin-1 text, and here is
 * the only place that knows. `read` is for our own key and the operator's CA file; nothing a peer sent comes here.
 */
import asn1 from 'node-forge/lib/asn1.js'
import type { asn1 as forge } from 'node-forge'

export type Der = forge.Asn1

const { Class, Type } = asn1

/** The encoded bytes. */
export function encode(node: Der): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1')
}

/** Parses DER of our own making. Throws what node-forge throws when it is not DER. */
export function read(der: Buffer): Der {
  // Left to itself, node-forge takes a BIT STRING apart when the bits happen to look like DER, as one P-256 key in 256 does.
  return asn1.fromDer(der.toString('latin1'), { strict: true, decodeBitStrings: false })
}

/** The parts of a constructed value; empty for a primitive one. */
export function parts(node: Der | undefined): readonly Der[] {
  return Array.isArray(node?.value) ? node.value : []
}

/** The content bytes of a primitive value; empty for a constructed one. */
export function content(node: Der | undefined): Buffer {
  return typeof node?.value === 'string' ? Buffer.from(node.value, 'latin1') : Buffer.alloc(0)
}

export function sequence(...nodes: Der[]): Der {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, nodes)
}

export function set(...nodes: Der[]): Der {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, nodes)
}

/** An object identifier from its dotted form. */
export function oid(dotted: string): Der {
  return primitive(Type.OID, asn1.oidToDer(dotted).getBytes())
}

/** A positive INTEGER from its big-endian bytes, in the shortest form DER allows. */
export function positive(bytes: Uint8Array): Der {
  const start = bytes.findIndex((byte) => byte !== 0)
  const digits = start < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(start))
  const signed = (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits
  return primitive(Type.INTEGER, latin1(signed))
}

export function yes(): Der {
  return primitive(Type.BOOLEAN, '\xff')
}

export function nothing(): Der {
  return primitive(Type.NULL, '')
}

export function utf8(text: string): Der {
  return primitive(Type.UTF8, latin1(Buffer.from(text, 'utf8')))
}

export function octets(bytes: Uint8Array): Der {
  return primitive(Type.OCTETSTRING, latin1(bytes))
}

/** A BIT STRING; `unused` counts the bits left over at the end of the last byte. */
export function bits(bytes: Uint8Array, unused = 0): Der {
  return primitive(Type.BITSTRING, String.fromCharCode(unused) + latin1(bytes))
}

/** UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5). Milliseconds since the epoch. */
export function time(at: number): Der {
  const date = new Date(at)
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, asn1.dateToUtcTime(date))
    : primitive(Type.GENERALIZEDTIME, asn1.dateToGeneralizedTime(date))
}

/** `[tag] EXPLICIT`: wraps a whole value. */
export function explicit(tag: number, node: Der): Der {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, true, [node])
}

/** `[tag] IMPLICIT` of a primitive type: the tag stands in place of its own. */
export function implicit(tag: number, bytes: Uint8Array): Der {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, false, latin1(bytes))
}

function primitive(type: forge.Type, bytes: string): Der {
  return asn1.create(Class.UNIVERSAL, type, false, bytes)
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
