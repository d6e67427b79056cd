// Package kind checks kind-config.yaml with kind's own parser and validation, which no command of kind offers
// without creating a cluster.
package kind

import (
	"testing"
	"unsafe"

	_ "sigs.k8s.io/kind/pkg/cluster" // links the parser in
)

// The parser is in an internal package, so it is reached by its link name. The first result is a *config.Cluster,
// which cannot be named here and is only passed on.
//
//go:linkname load sigs.k8s.io/kind/pkg/internal/apis/config/encoding.Load
func load(path string) (unsafe.Pointer, error)

//go:linkname validate sigs.k8s.io/kind/pkg/internal/apis/config.(*Cluster).Validate
func validate(cluster unsafe.Pointer) error

func check(path string) error {
	cluster, err := load(path)
	if err != nil {
		return err
	}
	return validate(cluster)
}

func TestKindAcceptsOurConfiguration(t *testing.T) {
	if err := check("../../../kind-config.yaml"); err != nil {
		t.Fatal(err)
	}
}

func TestKindRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, path := range []string{"testdata/unknown-field.yaml", "testdata/port-out-of-range.yaml"} {
		if check(path) == nil {
			t.Errorf("%s was accepted", path)
		}
	}
}
