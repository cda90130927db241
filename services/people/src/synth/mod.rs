//! Makes a synthetic population and the records that its members keep of it.
