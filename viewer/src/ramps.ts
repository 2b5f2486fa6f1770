// Colours that people with any colour vision can tell apart. Viridis and magma: CC0, by S. van der Walt and N. Smith.
// Categories: the palette of Okabe and Ito.

const MAGMA = '000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf'
const VIRIDIS = '440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725'

/** Colours of a continuous ramp, a power of two. */
export const STEPS = 256

export type Rgb = [number, number, number]

/** Low is pale and high is dark: what changed stands out from the many pixels that did not. */
export const STRENGTH: Rgb[] = interpolate(stops(MAGMA).reverse().slice(0, 9), STEPS)

/** As many colours as years, the first dark. */
export const yearColours = (n: number): Rgb[] => interpolate(stops(VIRIDIS).slice(0, 9), Math.max(n, 1))

export const KIND_COLOURS: Record<string, string> = {
  step: '#d55e00',
  ramp: '#0072b2',
  blip: '#e69f00',
  unconfirmed: '#7b3294',
}
export const OTHER_KIND = '#444444'

export function hex(colour: Rgb): string {
  return '#' + colour.map((c) => c.toString(16).padStart(2, '0')).join('')
}

export function rgb(colour: string): Rgb {
  return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)) as Rgb
}

function stops(text: string): Rgb[] {
  return text.split(' ').map((colour) => rgb('#' + colour))
}

function interpolate(colours: Rgb[], n: number): Rgb[] {
  return Array.from({ length: n }, (_, i) => {
    const at = n === 1 ? 0 : (i / (n - 1)) * (colours.length - 1)
    const k = Math.min(Math.floor(at), colours.length - 2)
    const [low, high] = [colours[k]!, colours[k + 1]!]
    return low.map((c, j) => Math.round(c + (high[j]! - c) * (at - k))) as Rgb
  })
}
