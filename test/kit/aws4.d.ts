/** What the kit uses of `aws4`, which brings no types. */
declare module 'aws4' {
  interface Request {
    readonly service: string
    readonly region: string
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: Buffer
    /** The signature goes into the query of `path`. */
    readonly signQuery?: boolean
    readonly extraHeadersToIgnore?: Readonly<Record<string, boolean>>
    readonly extraHeadersToInclude?: Readonly<Record<string, boolean>>
  }
  interface Credentials {
    readonly accessKeyId: string
    readonly secretAccessKey: string
  }
  const aws4: {
    sign(
      request: Request,
      credentials: Credentials,
    ): { readonly headers: Readonly<Record<string, string>>; readonly path: string }
  }
  export default aws4
}
