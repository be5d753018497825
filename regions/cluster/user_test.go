package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// parrot is a stream that answers all with one error.
type parrot struct {
	grpc.ClientStream
	err error
}

func (p parrot) Header() (metadata.MD, error) { return nil, p.err }
func (p parrot) CloseSend() error             { return p.err }
func (p parrot) SendMsg(any) error            { return p.err }
func (p parrot) RecvMsg(any) error            { return p.err }

// TestStreamsSayNoToken: what answers a stream in etcd's place may repeat the
// token; no error does. A stream's end stays what it is.
func TestStreamsSayNoToken(t *testing.T) {
	const token = "simple-token-a7c3.42"
	u := &user{turn: make(chan struct{}, 1), token: token, logged: true}
	u.turn <- struct{}{}
	open := func(err error) func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
			if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get("token")) != 1 || md.Get("token")[0] != token {
				t.Errorf("the stream is opened with %v", md)
			}
			return parrot{err: err}, nil
		}
	}
	for _, said := range []string{"bad request: token: " + token, hex.EncodeToString([]byte(token))} {
		refused := status.Error(codes.Unauthenticated, said)
		s, err := u.stream(t.Context(), nil, nil, "/etcdserverpb.Watch/Watch", open(refused))
		if err != nil {
			t.Fatal(err)
		}
		_, header := s.Header()
		_, closed := u.stream(t.Context(), nil, nil, "/etcdserverpb.Watch/Watch", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
			return nil, refused
		})
		for call, err := range map[string]error{"Header": header, "CloseSend": s.CloseSend(), "SendMsg": s.SendMsg(nil), "RecvMsg": s.RecvMsg(nil), "open": closed} {
			if status.Code(err) != codes.Unauthenticated || strings.Contains(err.Error(), said[len(said)-len(token):]) {
				t.Errorf("%s: %v", call, err)
			}
		}
	}
	s, err := u.stream(t.Context(), nil, nil, "/etcdserverpb.Watch/Watch", open(io.EOF))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(nil); !errors.Is(err, io.EOF) {
		t.Errorf("the end of a stream is %v", err)
	}
}
