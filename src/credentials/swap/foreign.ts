/**
 * Where credentials usually travel. On a host that one of our credentials is scoped to, a value in one of these places
 * that is not a stub is someone else's: with it an agent could carry data out to another account on an allowed host.
 */

/** Folded header names. */
export const commonHeaders: readonly string[] = (
  'api-key apikey authentication authorization cookie cookie2 deploy-token job-token ocp-apim-subscription-key ' +
  'private-token x-access-token x-amz-security-token x-api-key x-api-token x-apikey x-auth x-auth-key x-auth-token ' +
  'x-authorization x-gitlab-token x-goog-api-key x-goog-iam-authorization-token x-ms-authorization-auxiliary x-token ' +
  'x-vault-token'
).split(' ')

/** Lower-case names of query parameters. */
export const commonParams: readonly string[] = (
  'access_key access_token accesstoken api-key api_key api_token apikey auth auth_token authorization client_secret ' +
  'id_token key oauth_token password private_token refresh_token secret token x-amz-credential x-amz-security-token ' +
  'x-amz-signature x-api-key x-goog-credential x-goog-signature'
).split(' ')
