// Two years side by side: a second map over the left part of the first, up to a divider.

import type { Map as MapLibre } from 'maplibre-gl'
import { el } from './dom'
import { showOutlines } from './map'
import type { RasterLayer } from './raster_layer'
import type { LayerChoice } from './layers'
import type { State } from './state'

export class Compare {
  /** Part of the width that shows the other year, 0 to 1. */
  private share = 0.5
  private other: { map: MapLibre; layer: RasterLayer; ready: Promise<void> } | null = null
  private readonly container = el('div', { class: 'map other', 'aria-hidden': true })
  private readonly divider: HTMLInputElement
  private readonly left = el('span', { class: 'side left' })
  private readonly right = el('span', { class: 'side right' })

  /** `create` makes a map in a container, and the raster on it. */
  constructor(
    private readonly stage: HTMLElement,
    private readonly main: MapLibre,
    private readonly create: (container: HTMLElement) => { map: MapLibre; layer: RasterLayer }
  ) {
    this.divider = el('input', {
      type: 'range', class: 'divider', min: 0, max: 100, step: 1, value: 50, 'aria-label': 'Divider between the two years',
      oninput: () => this.place(this.divider.valueAsNumber / 100),
    }) // prettier-ignore
    main.on('move', () => this.follow())
  }

  /** Canvas of the other year and the part of the width that shows it, while two are shown. */
  get picture(): { canvas: HTMLCanvasElement; share: number } | null {
    return this.other && { canvas: this.other.map.getCanvas(), share: this.share }
  }

  /** Show the year that the state compares with, or one map alone. */
  async show(state: State, choice: LayerChoice, time: number, limits: [number, number]): Promise<void> {
    if (state.compare === null || !choice.annual || time < 0) return this.close()
    const other = this.open()
    this.left.textContent = String(state.compare)
    this.right.textContent = String(state.year)
    await other.ready
    showOutlines(other.map, state)
    await other.layer.show(choice, time, limits, state.opacity)
  }

  private open(): NonNullable<Compare['other']> {
    if (this.other) return this.other
    this.stage.querySelector('.map')!.after(this.container, this.left, this.right, this.divider)
    const made = this.create(this.container)
    made.map.getCanvas().tabIndex = -1 // the first map takes keys and pointers for both
    this.other = { ...made, ready: new Promise((resolve) => void made.map.once('load', () => resolve())) }
    this.place(this.share)
    this.follow()
    return this.other
  }

  private close(): void {
    if (!this.other) return
    this.other.map.remove()
    this.other = null
    for (const part of [this.container, this.left, this.right, this.divider]) part.remove()
  }

  private place(share: number): void {
    this.share = share
    this.container.style.clipPath = `inset(0 ${100 - share * 100}% 0 0)`
    this.divider.setAttribute('aria-valuetext', `${Math.round(share * 100)} % ${this.left.textContent}`)
    this.left.style.right = `${100 - share * 100}%`
    this.right.style.left = `${share * 100}%`
  }

  private follow(): void {
    this.other?.map.jumpTo({ center: this.main.getCenter(), zoom: this.main.getZoom() })
  }
}
