/** The demo, in its order. */
import { edit } from './edit.ts'
import { names } from './names.ts'
import { proof } from './proof.ts'
import { refusals } from './refusals.ts'
import { clone, push } from './repositories.ts'
import type { DemoStep } from './step.ts'
import { scrub, stream, swaps } from './swaps.ts'

export const steps: readonly DemoStep[] = [names, ...swaps, ...refusals, scrub, stream, clone, push, edit, proof]
