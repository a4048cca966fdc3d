/** The registry of real clients. */
import { agentClients } from './agent-clients.ts'
import { httpClients } from './http-clients.ts'
import { packageClients } from './package-clients.ts'
import { sdkClients } from './sdk-clients.ts'
import type { Client } from './types.ts'

export const clients: readonly Client[] = [...httpClients, ...packageClients, ...sdkClients, ...agentClients]
