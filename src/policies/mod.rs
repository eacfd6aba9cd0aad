//! Policies from folders or the cluster, as one immutable compiled snapshot.
