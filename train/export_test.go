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
