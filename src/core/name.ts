// Names as Kubernetes has them for its objects, nodes included: an RFC 1123 subdomain, labels with dots between.

export const namePattern = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
