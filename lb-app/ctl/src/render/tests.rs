//! What operators read, word for word.
