/** What the kit uses of `aws4`, which brings no types. */
declare module 'aws4' {
  interface Request {
    readonly service: string
    readonly region: string
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly extraHeadersToIgnore: Readonly<Record<string, boolean>>
    readonly body?: Buffer
  }
  const aws4: {
    sign(
      request: Request,
      key: { readonly accessKeyId: string; readonly secretAccessKey: string },
    ): { readonly headers: Readonly<Record<string, string>> }
  }
  export default aws4
}
