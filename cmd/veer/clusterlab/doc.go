// Package clusterlab shows a cluster of three regions from outside: real veer
// processes in network namespaces, links between them that delay, lose and
// cut, backends that die and hang, and an emulated Route 53 and a BIND beyond
// them. See docs/testing-cluster.md. It holds tests only, with the build tag
// netns; with accept, too, in their full size. They need the machine for
// themselves, since they measure times.
package clusterlab
