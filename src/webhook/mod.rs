//! The admission webhook: AdmissionReview ↔ verdict.
