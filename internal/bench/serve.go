package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"
)

// operation prepares what a rival written in Go runs, given the arguments of a case.
type operation func(args map[string]any) (run func())

// serveRival answers requests as a rival that is written in Go.
func serveRival(name string, in io.Reader, out io.Writer) error {
	ops, err := goRival(name)
	if err != nil {
		return json.NewEncoder(out).Encode(answer{Absent: err.Error()})
	}
	return answerAll(name, ops, in, out)
}

func answerAll(name string, ops map[string]operation, in io.Reader, out io.Writer) error {
	e := json.NewEncoder(out)
	if err := e.Encode(answer{Ready: true}); err != nil {
		return err
	}
	var key request
	var run func()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		op, ok := ops[r.Op]
		a := answer{Absent: fmt.Sprintf("%s has no %s", name, r.Op)}
		switch {
		case ok && r.Resident:
			bytes, err := residentDuring(func() {
				run := op(r.Args)
				for range 3 {
					run()
				}
			})
			if err != nil {
				return err
			}
			a = answer{Bytes: float64(bytes)}
		case ok:
			if key.Op != r.Op || !reflect.DeepEqual(key.Args, r.Args) {
				key, run = r, op(r.Args)
			}
			a = answer{Seconds: fastest(run, time.Duration(r.Budget*float64(time.Second)))}
		}
		if err := e.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}
