/** The thread of one worker. Everything it knows it was told; what there is one of, it asks for. */
import { parentPort, workerData } from 'node:worker_threads'
import { WorkerPlane } from './worker-plane.ts'
import type { Errand } from './sides.ts'

if (parentPort) new WorkerPlane(workerData as Errand, parentPort)
