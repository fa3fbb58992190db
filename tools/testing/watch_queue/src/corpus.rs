// SPDX-License-Identifier: GPL-2.0

//! The corpus of the fuzzer, replayed without the fuzzer.

use crate::fuzzing;
use std::{fs, path::Path};

/// Calls `target` with each file of its corpus.
fn replay(corpus: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(corpus);
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        target(&fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 50, "there are {inputs} inputs only");
}

#[test]
fn the_corpus_of_the_filter_finds_nothing() {
    replay("filter", fuzzing::filter);
}

#[test]
fn the_corpus_of_the_ring_finds_nothing() {
    replay("ring", fuzzing::ring);
}
