package train

// FileSystem and File let tests stand in for the disk.
type (
	FileSystem = fileSystem
	File       = file
)

// Disk is the real one.
var Disk FileSystem = disk{}

// On returns o with another file system.
func (o Options) On(fs FileSystem) Options {
	o.fs = fs
	return o
}

// DifferentCode is what is said of a rank whose program was built of other sources.
func DifferentCode(one, other string) error { return peer{Code: one}.compare(peer{Code: other}) }
