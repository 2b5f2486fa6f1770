// What the page is doing and what went wrong, in words; read out by screen readers.

import { el, fill } from './dom'

export class Status {
  readonly loading = el('div', { class: 'loading', role: 'status', hidden: true }, 'Reading\u2026')
  readonly hints = el('div', { class: 'hint', role: 'status', hidden: true })
  readonly errors = el('div', { class: 'errors', role: 'alert' })
  private readonly told = new Set<string>()
  private readonly busy = new Set<string>()

  /** Say that work of this name has begun or ended. */
  work(name: string, busy: boolean): void {
    if (busy) this.busy.add(name)
    else this.busy.delete(name)
    this.loading.hidden = this.busy.size === 0
  }

  /** A quiet word over the map; '' takes it away. */
  hint(message: string): void {
    this.hints.textContent = message
    this.hints.hidden = message === ''
  }

  get isBusy(): boolean {
    return this.busy.size > 0
  }

  /** Show a message until it is closed; the same one once. */
  error = (message: string): void => {
    if (this.told.has(message)) return
    this.told.add(message)
    const close = (): void => {
      line.remove()
      this.told.delete(message)
    }
    const line = el('p', {}, message, el('button', { type: 'button', class: 'close', 'aria-label': 'Close message', onclick: close }, '\u00d7'))
    this.errors.append(line)
  }
}

/** The whole page as one message, when there is nothing to show. */
export function fatal(message: string): void {
  fill(document.body, el('main', { class: 'fatal', role: 'alert' }, el('h1', {}, 'terradrift'), el('p', {}, message)))
}
