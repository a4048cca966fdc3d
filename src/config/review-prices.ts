/** Models that agents asked a running proxy for, and that this policy has no price for. */
import type { Snapshot } from '#contracts/snapshot.ts'
import { pricedName } from '#metering/price.ts'
import type { Issue } from './issue.ts'

/** A model as an agent named it, and the meter that counted it. */
export interface SeenModel {
  readonly meter: string
  readonly model: string
}

/** A warning for each: where a budget limits money, such a request is refused (`model_unpriced`), elsewhere its cost is not known. */
export function reviewPrices({ prices, budgets }: Snapshot, seen: readonly SeenModel[], directory: string): readonly Issue[] {
  const money = [...budgets.values()].some(({ nano }) => nano !== undefined)
  return seen
    .filter(({ meter, model }) => pricedName(model, meter, prices) === undefined)
    .map(({ meter, model }) => ({
      severity: 'warning',
      position: { file: directory, line: 0, column: 0 },
      path: 'prices',
      message:
        `agents ask for the model ${JSON.stringify(model)} (meter ${meter}), which has no price, so ` +
        `${money ? 'budgets in usd refuse it' : 'its cost is not known'}; ` +
        `price it or its family: ${JSON.stringify(familyOf(model))}: {input: …, output: …}, or {like: a model that has a price}`,
    }))
}

/** Up to the last part of the name: `gpt-6.2-sol` is of `gpt-6.2-*`. */
function familyOf(model: string): string {
  const end = model.lastIndexOf('-')
  return end > 0 ? `${model.slice(0, end + 1)}*` : model
}
