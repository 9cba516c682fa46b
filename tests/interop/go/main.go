// Command logs checks exported logs and proofs of a gateway with the packages of the Go checksum database:
// golang.org/x/mod/sumdb/note and tlog; cosignatures with github.com/transparency-dev/formats and filippo.io/mldsa.
//
// It reads one JSON document from standard input and answers one on standard output. The first thing that does not hold
// ends it with code 1. No line of it comes from the gateway.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"filippo.io/mldsa"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type asked struct {
	Export      string   // folder of an export
	Keys        []string // verifier keys of the logs
	Witnesses   []string // verifier keys of the cosigners
	Cosigned    []string // files: notes with cosignatures
	Proofs      []inclusion
	Consistency []consistency
}

type inclusion struct {
	Origin      string
	Index, Size int64
	Entry       []byte
	Hashes      [][]byte
	Checkpoint  string
}

type consistency struct {
	Origin   string
	Old, New int64
	Hashes   [][]byte
}

// found is the answer: how many of each were checked and held.
type found struct {
	Logs         int            `json:"logs"`
	Heads        int            `json:"heads"`
	Entries      int            `json:"entries"`
	Inclusion    int            `json:"inclusion"`
	Consistency  int            `json:"consistency"`
	Refused      int            `json:"refused"`
	Cosignatures map[string]int `json:"cosignatures"`
}

func main() {
	var ask asked
	got := found{Cosignatures: map[string]int{}}
	err := json.NewDecoder(os.Stdin).Decode(&ask)
	if err == nil {
		err = run(ask, &got)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(got)
}

func run(ask asked, got *found) error {
	known, err := verifiers(ask.Keys, note.NewVerifier)
	if err != nil {
		return err
	}
	logs := map[string]*log{}
	heads, err := find(ask.Export)
	if err != nil {
		return err
	}
	for _, folder := range heads {
		one, err := read(folder, known, got)
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		logs[one.origin] = one
	}
	for _, proof := range ask.Proofs {
		if err := proof.check(logs, known, got); err != nil {
			return fmt.Errorf("inclusion of %d in %s: %w", proof.Index, proof.Origin, err)
		}
	}
	for _, proof := range ask.Consistency {
		if err := proof.check(logs, got); err != nil {
			return fmt.Errorf("consistency of %d with %d in %s: %w", proof.New, proof.Old, proof.Origin, err)
		}
	}
	witnesses, err := verifiers(ask.Witnesses, cosigner)
	if err != nil {
		return err
	}
	for _, file := range ask.Cosigned {
		if err := cosigned(file, known, witnesses, logs, got); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func verifiers(keys []string, parse func(string) (note.Verifier, error)) ([]note.Verifier, error) {
	var found []note.Verifier
	for _, key := range keys {
		verifier, err := parse(key)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		found = append(found, verifier)
	}
	return found, nil
}

// find lists the folders that hold a log.
func find(export string) (folders []string, err error) {
	err = filepath.Walk(export, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Name() == "checkpoint" {
			folders = append(folders, filepath.Dir(path))
		}
		return err
	})
	if err == nil && len(folders) == 0 {
		err = errors.New("the export holds no log")
	}
	return folders, err
}

// log is one exported log whose newest head and entries were checked against each other.
type log struct {
	origin, folder string
	tree           tlog.Tree
	roots          map[int64]tlog.Hash // by size, of every signed head
	hashes         tlog.HashReader     // out of the tiles, each authenticated against the newest head
}

// read checks one log: every head is signed; the entries, hashed anew, lead to each; and the tiles are those entries'.
func read(folder string, known []note.Verifier, got *found) (*log, error) {
	one := &log{folder: folder, roots: map[int64]tlog.Hash{}}
	var err error
	if one.origin, one.tree, err = head(filepath.Join(folder, "checkpoint"), known); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "checkpoints", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		origin, tree, err := head(file, known)
		if err != nil || origin != one.origin {
			return nil, fmt.Errorf("%s: of log %q: %w", file, origin, err)
		}
		one.roots[tree.N] = tree.Hash
		got.Heads++
	}
	if one.roots[one.tree.N] != one.tree.Hash {
		return nil, errors.New("the newest head is not among the heads")
	}
	one.hashes = tlog.TileHashReader(one.tree, one)
	if err := one.entries(got); err != nil {
		return nil, err
	}
	got.Logs++
	return one, nil
}

// entries builds the tree from the entries alone, and compares it with every head and with the tiles.
func (one *log) entries(got *found) error {
	var stored []tlog.Hash
	own := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var list []tlog.Hash
		for _, index := range indexes {
			list = append(list, stored[index])
		}
		return list, nil
	})
	for n := int64(0); n < one.tree.N; {
		width := min(one.tree.N-n, 256)
		raw, err := os.ReadFile(filepath.Join(one.folder, path("entries", n/256, int(width))))
		if err != nil {
			return err
		}
		for ; len(raw) > 0; n++ {
			size := 2 + int(binary.BigEndian.Uint16(raw))
			hash := tlog.RecordHash(raw[2:size])
			hashes, err := tlog.StoredHashesForRecordHash(n, hash, own)
			if err != nil {
				return err
			}
			stored, raw = append(stored, hashes...), raw[size:]
			proof, err := tlog.ProveRecord(one.tree.N, n, one.hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, one.tree.N, one.tree.Hash, n, hash); err != nil {
				return err
			}
			got.Entries++
			if root, signed := one.roots[n+1]; signed {
				if computed, err := tlog.TreeHash(n+1, own); err != nil || computed != root {
					return fmt.Errorf("the head of %d entries has another root: %w", n+1, err)
				}
			}
		}
	}
	return nil
}

// Height, ReadTiles and SaveTiles make a log a tlog.TileReader.
func (one *log) Height() int { return 8 }

func (one *log) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		raw, err := os.ReadFile(filepath.Join(one.folder, path(strconv.Itoa(tile.L), tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		data = append(data, raw)
	}
	return data, nil
}

func (one *log) SaveTiles([]tlog.Tile, [][]byte) {}

// path is that of C2SP tlog-tiles: as Go's own, without the height.
func path(level string, n int64, width int) string {
	return strings.Replace(tlog.Tile{H: 8, L: 0, N: n, W: width}.Path(), "tile/8/0/", "tile/"+level+"/", 1)
}

// head opens a note of a log: its text is origin, size and root, and a known key signed it whose name the origin bears.
func head(file string, known []note.Verifier) (string, tlog.Tree, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	return open(raw, known)
}

func open(raw []byte, known []note.Verifier) (string, tlog.Tree, error) {
	opened, err := note.Open(raw, note.VerifierList(known...))
	if err != nil {
		return "", tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return "", tlog.Tree{}, errors.New("not three lines")
	}
	if !slices.ContainsFunc(opened.Sigs, func(sig note.Signature) bool { return strings.HasPrefix(lines[0], sig.Name+"/") }) {
		return "", tlog.Tree{}, errors.New("signed by the key of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return lines[0], tlog.Tree{N: size, Hash: root}, err
}

// check verifies an inclusion proof against the head that came with it, and sees it fail for the next index, another
// entry and with its first hash turned.
func (proof inclusion) check(logs map[string]*log, known []note.Verifier, got *found) error {
	origin, tree, err := open([]byte(proof.Checkpoint), known)
	if err != nil {
		return err
	}
	one := logs[proof.Origin]
	if one == nil || origin != proof.Origin || tree.N != proof.Size || one.roots[tree.N] != tree.Hash {
		return errors.New("its head is not one of the exported log")
	}
	hashes, leaf := listed(proof.Hashes), tlog.RecordHash(proof.Entry)
	if err := tlog.CheckRecord(hashes, tree.N, tree.Hash, proof.Index, leaf); err != nil {
		return err
	}
	got.Inclusion++
	wrong := []error{
		tlog.CheckRecord(hashes, tree.N, tree.Hash, (proof.Index+1)%tree.N, leaf),
		tlog.CheckRecord(hashes, tree.N, tree.Hash, proof.Index, tlog.RecordHash(append(proof.Entry, ' '))),
	}
	if len(hashes) > 0 {
		hashes[0][0] ^= 1
		wrong = append(wrong, tlog.CheckRecord(hashes, tree.N, tree.Hash, proof.Index, leaf))
	}
	return refused(wrong, tree.N, got)
}

// check verifies a consistency proof between two signed heads, and sees it fail with the two roots exchanged.
func (proof consistency) check(logs map[string]*log, got *found) error {
	one := logs[proof.Origin]
	if one == nil {
		return errors.New("of no exported log")
	}
	old, hasOld := one.roots[proof.Old]
	now, hasNow := one.roots[proof.New]
	if !hasOld || !hasNow {
		return errors.New("between sizes that nobody signed")
	}
	hashes := tlog.TreeProof(listed(proof.Hashes))
	if err := tlog.CheckTree(hashes, proof.New, now, proof.Old, old); err != nil {
		return err
	}
	got.Consistency++
	return refused([]error{tlog.CheckTree(hashes, proof.New, old, proof.Old, now)}, proof.New, got)
}

// refused demands that every one of these was an error; in a tree of one leaf nothing can be exchanged.
func refused(wrong []error, size int64, got *found) error {
	if size == 1 {
		return nil
	}
	for number, err := range wrong {
		if err == nil {
			return fmt.Errorf("wrong proof %d was accepted", number)
		}
		got.Refused++
	}
	return nil
}

func listed(raw [][]byte) (hashes []tlog.Hash) {
	for _, one := range raw {
		hashes = append(hashes, tlog.Hash(one))
	}
	return hashes
}

// cosigned checks a head that witnesses cosigned: every known line holds, and each witness has one.
func cosigned(file string, known, witnesses []note.Verifier, logs map[string]*log, got *found) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	origin, tree, err := open(raw, append(slices.Clone(known), witnesses...))
	if err != nil {
		return err
	}
	if one := logs[origin]; one == nil || one.roots[tree.N] != tree.Hash {
		return errors.New("not a head of an exported log")
	}
	for _, witness := range witnesses {
		opened, err := note.Open(raw, note.VerifierList(witness))
		if err != nil {
			return err
		}
		at, err := cosignature.CoSigV1Timestamp(opened.Sigs[0])
		if err != nil || at.Unix() == 0 {
			return fmt.Errorf("no time: %w", err)
		}
		kind := "Ed25519"
		if _, ok := witness.(mldsaCosigner); ok {
			kind = "ML-DSA-44"
		}
		got.Cosignatures[kind]++
	}
	return nil
}

// cosigner reads a witness's key: Ed25519 as the witnesses of transparency.dev do, ML-DSA-44 from tlog-cosignature.
func cosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not name+hash+key")
	}
	tagged, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(tagged) == 0 {
		return nil, errors.New("no key")
	}
	if tagged[0] != 6 {
		return cosignature.NewVerifierForCosignatureV1(vkey)
	}
	public, err := mldsa.NewPublicKey(mldsa.MLDSA44(), tagged[1:])
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), tagged...))
	if hex.EncodeToString(id[:4]) != parts[1] {
		return nil, errors.New("the hash does not fit")
	}
	return mldsaCosigner{parts[0], binary.BigEndian.Uint32(id[:4]), public}, nil
}

type mldsaCosigner struct {
	name   string
	hash   uint32
	public *mldsa.PublicKey
}

func (one mldsaCosigner) Name() string    { return one.name }
func (one mldsaCosigner) KeyHash() uint32 { return one.hash }

// Verify checks a cosignature over the structure cosigned_message.
func (one mldsaCosigner) Verify(text, signature []byte) bool {
	lines := strings.Split(string(text), "\n")
	if len(signature) < 8 || len(lines) < 3 {
		return false
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	root, other := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || other != nil {
		return false
	}
	message := append([]byte("subtree/v1\n\x00"), byte(len(one.name)))
	message = append(append(message, one.name...), signature[:8]...)
	message = append(append(message, byte(len(lines[0]))), lines[0]...)
	message = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(message, 0), size)
	return mldsa.Verify(one.public, append(message, root...), signature[8:], nil) == nil
}
