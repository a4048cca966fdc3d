import { z } from 'zod'

const httpsUrl = z.url({ protocol: /^https$/, error: 'write an https URL' })

/** Where a person logs in by a link. */
export const loginField = z
  .strictObject({
    authorize: httpsUrl.meta({ description: 'Where the person goes' }),
    redirect: httpsUrl.meta({ description: 'The registered address that shows the code' }),
  })
  .optional()
  .meta({ description: 'Log in by a link; default for Anthropic: theirs' })
