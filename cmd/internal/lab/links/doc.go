// Package links makes several hosts of one Linux machine: network namespaces,
// and between them links whose delay, jitter, loss and cuts a test sets while
// traffic flows. It needs root. Tests and benchmarks use it; the product does
// not.
//
// Each host has one TUN device. A relay in this process reads the packets of
// all of them and hands each to the host that its destination names, when the
// link of that direction says so. Nothing of a host is on disk: the kernel
// removes a namespace with the last thread and process in it, also when the
// test is killed.
package links
