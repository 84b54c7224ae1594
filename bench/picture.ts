// What the bench's pictures have in common: a page of SVG for light and dark readers, and the colours of relays, which are the same in all of them.

/** Sluice's are blue; what is not named here is grey. */
const styles: Readonly<Record<string, string>> = {
  'direct': 'n', 'sluice': 'g', 'sluice-rate': 'h', 'sluice-lane': 'k', 'sluice-lane-always': 'h', 'sluice-busy': 'h', 'haproxy': 'd', 'haproxy-rate': 'e', 'haproxy-busy': 'e', 'nginx': 'm', 'traefik': 'o', 'sniproxy': 'p',
}

/** For relays: a class for each colour, as `styleOf` has them, and what is drawn with it. */
export const relayColours: Colours = {
  light: `.line { fill: none; stroke: var(--c); stroke-width: 2.25; stroke-linejoin: round } .bar { fill: var(--c) } .calm { opacity: .35 }
    .n { --c: #59636e } .g { --c: #0969da } .h { --c: #54aeff } .k { --c: #8250df } .d { --c: #cf222e } .e { --c: #ff8182 } .m { --c: #1a7f37 } .o { --c: #bc4c00 } .p { --c: #9a6700 }`,
  dark: '.n { --c: #9198a1 } .g { --c: #4493f8 } .h { --c: #79c0ff } .k { --c: #ab7df8 } .d { --c: #f85149 } .e { --c: #ffa198 } .m { --c: #3fb950 } .o { --c: #db6d28 } .p { --c: #d29922 }',
}

export function styleOf(target: string): string {
  return styles[target] ?? 'n'
}

/** CSS. */
export interface Colours {
  readonly light: string
  /** What is other on dark pages. */
  readonly dark: string
}

export interface Picture {
  readonly width: number
  readonly height: number
  /** Of the document. */
  readonly title: string
  /** For those who do not see it. */
  readonly description: string
  readonly colours: Colours
  /** Shown at its head. */
  readonly heading: string
  /** SVG, a line a line. Classes: soft, strong, grid, and those of `colours`. */
  readonly body: string
}

/** @returns SVG, a line a line */
export function renderPicture({ width, height, title, description, colours, heading, body }: Picture): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title desc" font-family="ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="14">
  <title id="title">${title}</title>
  <desc id="desc">${description}</desc>
  <style>
    text { fill: #1f2328 }
    .soft { fill: #59636e; font-size: 12px }
    .strong { font-weight: 600 }
    .grid { stroke: #d1d9e0; stroke-width: 1 }
    ${colours.light}
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .soft { fill: #9198a1 }
      .grid { stroke: #3d444d }
      ${colours.dark}
    }
  </style>
  <text class="strong" x="14" y="24" font-size="16">${heading}</text>
${body}
</svg>
`
}
