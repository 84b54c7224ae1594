// TLS alerts: what a client is told before its connection is closed, in the clear, as RFC 8446 §6 allows before keys exist.
//
//   ContentType alert(21) | legacy_record_version 3,3 | length 2 | level fatal(2) | description

/** Only those that we send, with their numbers (RFC 8446 §6). */
const descriptions = {
  /** No such name here, or none at all (RFC 6066 §3). */
  unrecognized_name: 112,
  access_denied: 49,
  internal_error: 80,
  decode_error: 50,
} as const

export type AlertDescription = keyof typeof descriptions

const contentTypeAlert = 21
const levelFatal = 2

/** One record of 7 bytes. */
export function encodeFatalAlert(description: AlertDescription): Uint8Array {
  return Uint8Array.of(contentTypeAlert, 3, 3, 0, 2, levelFatal, descriptions[description])
}
