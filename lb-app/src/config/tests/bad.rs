//! Every kind of mistake, with the exact report.
