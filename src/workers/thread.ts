/** The thread of one worker. Everything it knows it was told; what there is one of, it asks for. */
import { enableCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { WorkerAssignment } from './protocol.ts'

const { errand, compileCache } = workerData as { readonly errand: WorkerAssignment; readonly compileCache: string | undefined }
// A thread does not inherit it, and reading our own source takes longer than all else it does before it serves.
if (compileCache !== undefined) enableCompileCache(compileCache)
const { openWorkerPlane } = await import('./worker-plane.ts')
if (parentPort) openWorkerPlane(errand, parentPort)
