// viewer.json: where the page finds its data. Nothing in the address of the page can change it.

export interface Settings {
  /** Absolute URL of the output folder, with a slash at the end. */
  output: string
  /** Absolute URL of the mosaic, with a slash at the end, where it can be read. */
  mosaic: string | null
  /** Name of the mosaic's array. */
  variable: string
  /** Absolute URL template of map tiles. */
  background: string | null
}

export class DataError extends Error {}

/** Read viewer.json beside the page. */
export async function readSettings(): Promise<Settings> {
  const found = await readJson(new URL('viewer.json', document.baseURI).href)
  const folder = (value: unknown): string | null => {
    if (typeof value !== 'string' || value === '') return null
    const url = new URL(value.endsWith('/') ? value : value + '/', document.baseURI)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new DataError(`viewer.json: ${value} is no web address`)
    return url.href
  }
  const output = folder(found.output)
  if (!output) throw new DataError('viewer.json: found no "output"; expected the address of the output folder')
  return {
    output,
    mosaic: folder(found.mosaic),
    variable: typeof found.variable === 'string' ? found.variable : 'embeddings',
    background: typeof found.background === 'string' && /^https?:\/\//.test(found.background) ? found.background : null,
  }
}

/** A JSON object at an address. Errors are sentences for the person at the screen. */
export async function readJson(url: string): Promise<Record<string, unknown>> {
  const name = url.replace(/^https?:\/\/[^/]*\//, '')
  let response: Response
  try {
    response = await fetch(url, { cache: 'no-cache' })
  } catch {
    throw new DataError(`Cannot reach ${name}: is the server running?`)
  }
  if (!response.ok) throw new DataError(`Cannot read ${name}: the server answered ${response.status}`)
  try {
    const value: unknown = await response.json()
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // said below
  }
  throw new DataError(`Cannot read ${name}: it is not a JSON object`)
}
