// The typings of node-forge describe the whole package; its ASN.1 module alone loads in 6 ms instead of 50.
declare module 'node-forge/lib/asn1.js' {
  import type { asn1 } from 'node-forge'
  interface ReadOptions {
    readonly strict: boolean
    readonly decodeBitStrings: boolean
  }
  const module: Omit<typeof asn1, 'fromDer'> & { fromDer(bytes: string, options: ReadOptions): asn1.Asn1 }
  export default module
}
