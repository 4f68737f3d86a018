//! The planner against a small fleet that answers: scenarios an operator knows, and rules that hold whatever happens.

mod fleet;
mod rules;
mod scenarios;
