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
