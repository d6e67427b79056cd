//! The part of CloudNativePG's types that is written here.
