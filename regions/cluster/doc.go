// Package cluster keeps what the regions share, in etcd: votes and suspicions
// under leases, operators' orders, the ledger's shards, the journal, and who
// leads under which term. By default etcd is embedded: one member in this
// process, no TCP port.
//
// A Cluster implements prober.Booth, controller.World, controller.Elector and
// controller.Ledger. It is safe for concurrent use. Every call ends soon after
// its context does. No etcd type leaves this package.
//
// What it holds to:
//
//   - A vote is reported while its lease lives and this process can know it:
//     cut off from etcd for longer than the vote lease, View has no ballots.
//   - Every write of a vantage is guarded by its seat, every write of a leader
//     by its leader key and the term.
//   - The term never falls, below Options.Floor neither; it is raised in the transaction that makes a
//     leader.
//   - A member with an empty folder never makes a cluster beside a living one,
//     nor in the place of one: it joins, or waits.
//   - A lost reply is settled by reading, never by writing again.
//   - Values are hostile until parsed: bounded, strict, and a value that
//     cannot be read is reported with its key, never overwritten.
package cluster
