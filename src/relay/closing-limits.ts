// How long, and over how much, a descriptor may outlive its connection: the same for every driver.

/** For bytes that a peer is owed before the RST: it has this long to take them. */
export const resetFlushMsMax = 30_000
/**
 * A RST discards what the system has not sent yet. So little fits the initial congestion window (RFC 6928) and has left
 * already, unless more was written just before.
 */
export const unsentBytesSafe = 14_600
/**
 * A client that was sent an alert has this long to close: closing on bytes that it still sends would turn into a RST,
 * which discards the alert.
 */
export const alertLingerMsMax = 1_000
/** What such a client may still send meanwhile. */
export const alertLingerBytesMax = 256 * 1024
/**
 * Clients that may linger over an alert at one time, in one thread; a further one's descriptor is closed at once. Half of
 * the descriptors that are kept back from connections (`reservedDescriptors`): the rest is the admin address's, the log's
 * and the listeners'.
 */
export const alertLingersMax = 128
