//! The expansion of `#[derive(DefaultSerde)]`.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream};
use syn::{Data, DeriveInput, Error, GenericParam, Path, Result, Token, parse_quote};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Data::Union(union) = &input.data {
        let message = "a union has no default serde: it does not know which field is set";
        return Err(Error::new(union.union_token.span, message));
    }
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let message = "a type that borrows has no default serde: records own what they hold";
        return Err(Error::new_spanned(lifetime, message));
    }
    let options = options(input)?;
    let home = options.home.unwrap_or_else(|| parse_quote!(::streams_dsl));
    let format = options.format.unwrap_or_else(|| parse_quote!(#home::serdes::Json));

    let name = &input.ident;
    let mut generics = input.generics.clone();
    // Without parameters the bound would only blur the message of a missing `Serialize`.
    if generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_))) {
        let (_, args, _) = input.generics.split_for_impl();
        let where_clause = generics.make_where_clause();
        where_clause.predicates.push(parse_quote!(#name #args: 'static));
        where_clause.predicates.push(parse_quote!(#format: #home::serdes::Serde<#name #args>));
    }
    let (params, args, bounds) = generics.split_for_impl();
    // The name's place: that is where the compiler then says that a derive is missing.
    Ok(quote_spanned! {name.span()=>
        #[automatically_derived]
        impl #params #home::serdes::DefaultSerde for #name #args #bounds {
            fn default_serde() -> #home::serdes::SerdeRef<Self> {
                #home::serdes::SerdeRef::new(#format)
            }
        }
    })
}

/// What stands in `#[default_serde(..)]`: a format, `crate = path`, or both.
#[derive(Default)]
struct Options {
    format: Option<Path>,
    home: Option<Path>,
}

fn options(input: &DeriveInput) -> Result<Options> {
    let mut all = Options::default();
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("default_serde")) {
        let one: Options = attribute.parse_args()?;
        if (one.format.is_some() && all.format.is_some())
            || (one.home.is_some() && all.home.is_some())
        {
            return Err(Error::new_spanned(attribute, "this is said twice"));
        }
        all = Options { format: one.format.or(all.format), home: one.home.or(all.home) };
    }
    Ok(all)
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const USAGE: &str = "expected a format, such as `#[default_serde(Bincode)]`, \
                             or `#[default_serde(crate = path)]`";
        let mut options = Self::default();
        while !input.is_empty() {
            let place = input.span();
            let (slot, path) = if input.peek(Token![crate]) && input.peek2(Token![=]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                (&mut options.home, input.parse()?)
            } else {
                let path =
                    input.parse::<Path>().map_err(|error| Error::new(error.span(), USAGE))?;
                (&mut options.format, path)
            };
            if slot.replace(path).is_some() {
                return Err(Error::new(place, "this is said twice"));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>().map_err(|error| Error::new(error.span(), USAGE))?;
            }
        }
        match options {
            Self { format: None, home: None } => Err(input.error(USAGE)),
            options => Ok(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(input: &DeriveInput) -> String {
        expand(input).map(|tokens| tokens.to_string()).expect_err("it is a mistake").to_string()
    }

    #[test]
    fn generated_paths_are_those_of_streams_dsl() {
        let code = expand(&parse_quote!(
            struct Order;
        ))
        .expect("it expands")
        .to_string();
        assert!(code.contains(":: streams_dsl :: serdes :: Json"), "{code}");
        assert!(!code.contains("streams_core"), "{code}");
        let own = parse_quote!(
            #[default_serde(crate::Mine)]
            struct Order;
        );
        let code = expand(&own).expect("it expands").to_string();
        assert!(code.contains("new (crate :: Mine)"), "{code}");
    }

    #[test]
    fn mistakes_are_explained() {
        let union = mistake(&parse_quote!(union U { a: u8, b: i8 }));
        assert_eq!(union, "a union has no default serde: it does not know which field is set");
        let borrowing = mistake(&parse_quote!(
            struct S<'a>(&'a str);
        ));
        assert_eq!(
            borrowing,
            "a type that borrows has no default serde: records own what they hold"
        );
        let usage = "expected a format, such as `#[default_serde(Bincode)]`, or \
                     `#[default_serde(crate = path)]`";
        assert!(
            mistake(&parse_quote!(
                #[default_serde()]
                struct S;
            ))
            .ends_with(usage)
        );
        assert_eq!(
            mistake(&parse_quote!(
                #[default_serde("json")]
                struct S;
            )),
            usage
        );
        assert_eq!(
            mistake(&parse_quote!(
                #[default_serde(A, B)]
                struct S;
            )),
            "this is said twice"
        );
        let twice = parse_quote!(
            #[default_serde(A)]
            #[default_serde(B)]
            struct S;
        );
        assert_eq!(mistake(&twice), "this is said twice");
    }
}
