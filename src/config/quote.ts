// What was found in a file, as an error may print it: one line, short, and nothing that a terminal would act on.

const charactersMax = 120

/** As JSON, clipped. */
export function quote(value: string): string {
  return JSON.stringify(value.length > charactersMax ? `${value.slice(0, charactersMax)}…` : value)
}

/** Control and invisible formatting characters, which could forge another line or another reading, as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}
