// How the values of a layer are spread: limits for its colours and the bars above its legend.

import type { LayerChoice } from './layers'
import type { Raster } from './raster'

export interface Spread {
  /** Limits that show most of the values. */
  limits: [number, number]
  /** Sorted sample. */
  values: Float32Array
}

const spreads = new Map<string, Promise<Spread>>()

/** The spread of a layer, from a sample; read once. */
export function spreadOf(raster: Raster, choice: LayerChoice): Promise<Spread> {
  if (choice.colours.length === 0) return Promise.resolve({ limits: [0, 1], values: new Float32Array() })
  let found = spreads.get(choice.id)
  if (!found) {
    found = raster.sample(choice.variable, choice.band ?? 0).then((values) => spread(values, choice))
    found.catch(() => spreads.delete(choice.id))
    spreads.set(choice.id, found)
  }
  return found
}

function spread(sample: Float32Array, choice: LayerChoice): Spread {
  const values = sample.sort()
  if (choice.categories) {
    const codes = choice.categories.map(({ value }) => value)
    return { limits: [codes[0] ?? 0, codes.at(-1) ?? 1], values }
  }
  const high = roundUp(Math.max(values[Math.round(0.99 * (values.length - 1))] ?? 0, Number.EPSILON))
  return { limits: [0, values.length ? high : 1], values }
}

/** To two digits, upwards. */
function roundUp(value: number): number {
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1)
  return Number((Math.ceil(value / unit) * unit).toPrecision(2))
}

/** Shares of the values in equal parts of `limits`; what lies beyond counts to the ends. */
export function histogram(values: Float32Array, [low, high]: [number, number], bars: number): number[] {
  const counts = new Array<number>(bars).fill(0)
  for (const value of values) {
    const at = Math.floor(((value - low) / (high - low)) * bars)
    counts[Math.min(Math.max(at, 0), bars - 1)]! += 1
  }
  return counts.map((count) => count / Math.max(values.length, 1))
}

/** Shares of the values that are each of `codes`, of those that are one of them. */
export function shares(values: Float32Array, codes: number[]): number[] {
  const counts = codes.map(() => 0)
  let total = 0
  for (const value of values) {
    const at = codes.indexOf(value)
    if (at < 0) continue
    counts[at]! += 1
    total += 1
  }
  return counts.map((count) => count / Math.max(total, 1))
}
