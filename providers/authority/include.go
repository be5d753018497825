package authority

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"path"
)

// errTooLong ends the reading of a zone that is larger than MaxZoneBytes.
var errTooLong = errors.New("the zone is too long")

// openFiles is the file system that a zone parser reads from. It counts bytes
// over all files and lines in each, for bounds and for messages: the parser
// itself tells no line of a record that it read well.
type openFiles struct {
	fsys fs.FS
	left int64
	last place
}

// Open opens a file of fsys; it becomes the one that is read.
func (o *openFiles) Open(name string) (fs.File, error) {
	name = path.Clean(name)
	f, err := o.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close() //nolint:errcheck // nothing was read
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.Join(errors.New("not a regular file"), err)}
	}
	c := &countedFile{File: f, from: o, name: name, in: bufio.NewReader(f)}
	return c, nil
}

// at returns the line that was read last.
func (o *openFiles) at() place { return o.last }

// countedFile reads byte by byte, as a zone parser does, and so knows the line.
type countedFile struct {
	fs.File
	from  *openFiles
	name  string
	in    *bufio.Reader
	lines int
	fresh bool // a line has begun
}

func (f *countedFile) ReadByte() (byte, error) {
	b, err := f.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if f.from.left--; f.from.left < 0 {
		return 0, errTooLong
	}
	if !f.fresh {
		f.fresh = true
		f.lines++
	}
	f.from.last = place{file: f.name, line: f.lines}
	if b == '\n' {
		f.fresh = false
	}
	return b, nil
}

// Read is not used by the parser, which prefers ReadByte.
func (f *countedFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := f.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

var _ io.ByteReader = (*countedFile)(nil)
