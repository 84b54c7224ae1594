// The rules of every store, held to the one in etcd: three members, TLS, authentication, and a user who has nothing but its prefix.

import { t as root } from 'tap'
import { EtcdStore } from '../../src/state/etcd/etcd-store.ts'
import { storeSuite } from '../compliance/store-suite.ts'
import { EtcdCluster } from './etcd-cluster.ts'

const cluster = await EtcdCluster.start(root)
let rules = 0

storeSuite('etcd store', () => {
  const prefix = `/sluice/rule${++rules}`
  return { open: async () => await EtcdStore.open(cluster.options(prefix)) }
})
