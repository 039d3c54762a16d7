// Command neon generates the kernels of arm64. avo, which the other generators use, knows amd64 alone.
package main

import (
	"flag"
	"os"
)

func main() {
	out, stubs := flag.String("out", "", "file of the assembly"), flag.String("stubs", "", "file of the declarations")
	flag.String("pkg", "cpu", "package of the declarations: as the other generators take it")
	flag.Parse()
	var f file
	products(&f)
	vectors(&f)
	panels(&f)
	check(os.WriteFile(*out, f.assembly(), 0o644))
	check(os.WriteFile(*stubs, f.declarations(), 0o644))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
