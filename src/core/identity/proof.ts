// What a node signs to prove that it has its key: bound to this one TLS connection by its exporter value (RFC 8446 §7.5,
// RFC 5705), so that a proof that was captured is worth nothing on another.
//
//   "sluice-tunnel-v1" 0x00 │ exporter, 32 bytes │ public key, 32 bytes │ node name, UTF-8

export const exporterLabel = 'EXPORTER-sluice-tunnel-v1'
export const exporterBytes = 32
/** Raw Ed25519 (RFC 8032). */
export const publicKeyBytes = 32

export function proofBytes({ exporter, publicKey, nodeName }: { readonly exporter: Uint8Array; readonly publicKey: Uint8Array; readonly nodeName: string }): Uint8Array {
  const name = new TextEncoder().encode(nodeName)
  const context = new TextEncoder().encode('sluice-tunnel-v1\0')
  const bytes = new Uint8Array(context.length + exporter.length + publicKey.length + name.length)
  bytes.set(context, 0)
  bytes.set(exporter, context.length)
  bytes.set(publicKey, context.length + exporter.length)
  bytes.set(name, context.length + exporter.length + publicKey.length)
  return bytes
}
