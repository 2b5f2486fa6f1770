// The view as a PNG: map, title, legend and what must be said of the data.

import type { Map as MapLibre } from 'maplibre-gl'
import type { LayerChoice } from './layers'
import { hex } from './ramps'
import { tidy } from './ui/legend'

export interface Caption {
  title: string
  choice: LayerChoice
  limits: [number, number]
  attribution: string
}

type Other = { canvas: HTMLCanvasElement; share: number } | null

/** Offer the picture as a file. */
export async function savePicture(map: MapLibre, other: Other, caption: Caption): Promise<void> {
  const blob = await new Promise<Blob | null>((resolve) => drawPicture(map, other, caption).toBlob(resolve, 'image/png'))
  if (!blob) throw new Error('this browser gives no PNG of the map')
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = `${caption.title.replace(/[^\w-]+/g, '-').toLowerCase()}.png`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

/** The picture as a canvas: the map's own pixels, a strip with the words below. */
export function drawPicture(map: MapLibre, other: Other, { title, choice, limits, attribution }: Caption): HTMLCanvasElement {
  const source = map.getCanvas()
  const scale = source.width / source.clientWidth
  const strip = 64 * scale
  const picture = document.createElement('canvas')
  picture.width = source.width
  picture.height = source.height + strip
  const pen = picture.getContext('2d')!
  pen.fillStyle = '#ffffff'
  pen.fillRect(0, 0, picture.width, picture.height)
  pen.drawImage(source, 0, 0)
  if (other) {
    const width = Math.round(source.width * other.share)
    if (width > 0) pen.drawImage(other.canvas, 0, 0, width, source.height, 0, 0, width, source.height)
    pen.fillRect(width - scale, 0, 2 * scale, source.height)
  }
  pen.setTransform(scale, 0, 0, scale, 0, source.height)
  words(pen, title, attribution, source.clientWidth)
  legend(pen, choice, limits, source.clientWidth)
  return picture
}

const FONT = 'system-ui, sans-serif'

function words(pen: CanvasRenderingContext2D, title: string, attribution: string, width: number): void {
  pen.fillStyle = '#1c2731'
  pen.textBaseline = 'top'
  pen.font = `600 15px ${FONT}`
  pen.fillText(title, 14, 10, width * 0.55)
  pen.font = `11px ${FONT}`
  pen.fillText(attribution || 'Made with terradrift', 14, 38, width - 28)
}

function legend(pen: CanvasRenderingContext2D, choice: LayerChoice, [low, high]: [number, number], width: number): void {
  const [left, span] = [width * 0.6, width * 0.4 - 14]
  choice.colours.forEach((colour, i, { length }) => {
    pen.fillStyle = hex(colour)
    pen.fillRect(left + (i * span) / length, 8, span / length + 0.5, 10)
  })
  pen.fillStyle = '#1c2731'
  pen.font = `11px ${FONT}`
  const labels = choice.categories?.map(({ label }) => label) ?? (choice.colours.length ? [tidy(low), tidy(high)] : [])
  labels.forEach((label, i) => {
    const at = choice.categories ? (i + 0.5) / labels.length : i
    pen.textAlign = choice.categories ? 'center' : i === 0 ? 'left' : 'right'
    pen.fillText(label, left + at * span, 22)
  })
  pen.textAlign = 'left'
}
